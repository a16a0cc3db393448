//! Maps whose clones share what does not change.

use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;
use rustc_hash::FxBuildHasher;

/// A persistent map by ids. Its hash is not keyed, since ids are not chosen by clients.
pub(crate) type ById<K, V> = GenericHashMap<K, V, FxBuildHasher, DefaultSharedPtr>;
