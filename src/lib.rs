//! calljournal
