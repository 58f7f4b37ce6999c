//! memdump-image
