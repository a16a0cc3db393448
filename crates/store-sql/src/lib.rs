//! The store on Postgres and on SQLite, from one text of SQL.
