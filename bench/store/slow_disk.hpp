#pragma once

#include <chrono>

namespace cairn::bench {

/// Makes this process's flushes take so much longer than the disk does: fdatasync(), fsync(),
/// msync(MS_SYNC), and pwrite() on a descriptor with O_DSYNC, which is how LMDB writes the page
/// that makes a transaction count. The thread sleeps in the call, when the disk has done its work,
/// as it would sleep while a slower one does it. One commit of LMDB's has two such calls.
///
/// For the whole process; 0: as the disk is.
/// Limits: sleeps end late by what the kernel rounds them up, some 0.05 ms.
void slow_flushes_by(std::chrono::nanoseconds more);

}  // namespace cairn::bench
