//! TOUCH: the only room that meets the operating system.
