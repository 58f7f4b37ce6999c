//! memdump-live
