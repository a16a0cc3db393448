use super::*;

#[test]
fn the_list_is_in_the_order_of_priority() {
    let priorities: Vec<i32> =
        bundled().definitions().iter().map(|each| each.listing.priority).collect();
    assert!(priorities.is_sorted_by(|one, next| one > next), "{priorities:?}");
}

#[test]
fn a_plugin_is_found_by_its_name() {
    assert_eq!(bundled().find("key-auth").map(|listing| listing.priority), Some(1250));
    assert!(bundled().find("key_auth").is_none());
}
