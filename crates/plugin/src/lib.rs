//! What a plugin is: phases, context, verdict.
