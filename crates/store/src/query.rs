//! What is listed.

use model::{Entity, Kind};
use uuid::Uuid;

/// A page of a collection.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Collection.
    pub kind: Kind,
    /// Only entities whose reference `field` is this id.
    pub referring: Option<(&'static str, Uuid)>,
    /// Only entities with these tags.
    pub tags: Option<TagFilter>,
    /// Only entities with a primary key greater than this one.
    pub after: Option<Uuid>,
    /// At most this many entities.
    pub size: u32,
}

/// Which tags an entity must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagFilter {
    /// Every one of them.
    All(Vec<String>),
    /// At least one of them.
    Any(Vec<String>),
}

/// A page of entities in order of the primary key (the order of the UUID's text).
#[derive(Clone, Debug)]
pub struct Page {
    /// The entities.
    pub entities: Vec<Entity>,
    /// Whether more follow the last one.
    pub more: bool,
}

/// One tag of one entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaggedEntity {
    /// The tag.
    pub tag: String,
    /// Collection of the entity.
    pub kind: Kind,
    /// Its primary key.
    pub id: Uuid,
}
