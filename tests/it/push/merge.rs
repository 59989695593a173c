//! Posts and the dialplan's events through the door: one call, one end, whatever came first.
