#pragma once

#include "log.hpp"
#include "records.hpp"

namespace cairn::store {

/// The store's counters, made anew from what is stored. Three of them no record tells:
/// - `commit` is 0; who writes them puts its own number there. Of a torn meta page
///   require_whole_meta_by_free_pages() tells instead.
/// - `time` is that of the youngest message or mark that is there; a younger one may have gone.
/// - `next_topic` is far above the highest number in use: those of deleted topics are unknown.
/// Topics whose records are damaged count as topics without messages.
/// Fails: throws lmdb::failure.
counters_record recounted(const lmdb::transaction& txn, const databases& dbs);

/// What require_whole_meta() looks at, for when the counters cannot be read: each commit leaves the
/// numbers of pages that it has freed under its own. Throws damaged; lmdb::failure.
void require_whole_meta_by_free_pages(const lmdb::transaction& txn);

}  // namespace cairn::store
