//! Giving memory back to the system after a configuration was freed. The allocator keeps freed memory for later, spread
//! over whole pages, so a gateway that reloads often would seem to grow.

/// Returns freed pages to the system. Takes some milliseconds after thousands of routes, so it is nothing for a worker.
/// Does nothing where the allocator is not glibc's: others give pages back by themselves.
#[cfg(all(target_env = "gnu", not(feature = "mimalloc")))]
#[allow(
    unsafe_code,
    reason = "malloc_trim(3) has no safe wrapper: it takes a number, touches no memory of ours, and may be called by any thread"
)]
pub(super) fn give_back() {
    // SAFETY: the function has no precondition; it takes the allocator's own locks and leaves what is in use where it
    // is.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give pages back by themselves.
#[cfg(not(all(target_env = "gnu", not(feature = "mimalloc"))))]
pub(super) fn give_back() {}
