//! memdump-sink
