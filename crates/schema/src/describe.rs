//! A declaration in the shape of Kong's `/schemas` answers.
