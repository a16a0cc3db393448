//! A declaration as a schema component of OpenAPI 3.1.
