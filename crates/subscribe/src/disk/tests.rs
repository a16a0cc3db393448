//! Every way in which a file can be wrong.

use std::os::unix::fs::PermissionsExt;

use super::*;

const KIND: Kind = Kind::known("services");

fn kept(revision: u64) -> Kept {
    let entity = |id: u128| (KIND, Uuid::from_u128(id), Arc::from(format!("{{\"n\":{id}}}")));
    Kept {
        at: Cursor { epoch: Uuid::from_u128(9), revision },
        entities: (0..u128::from(revision)).map(entity).collect(),
        last_good: vec![(KIND, Uuid::from_u128(1), Arc::from("{\"n\":\"good\"}"))],
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_is_loaded_and_two_generations_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(load(dir.path(), None), None);
    for revision in [3, 4, 5] {
        save(dir.path(), &kept(revision), None).expect("a disk");
        assert_eq!(load(dir.path(), None), Some(kept(revision)));
    }
    assert_eq!(names(dir.path()), [CURRENT, PREVIOUS]);
    assert_eq!(read(&dir.path().join(PREVIOUS), None).expect("whole"), kept(4));
    for name in [CURRENT, PREVIOUS] {
        let mode = fs::metadata(dir.path().join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_crash_between_the_renames_leaves_the_previous_file() {
    let dir = tempfile::tempdir().expect("a folder");
    save(dir.path(), &kept(3), None).expect("a disk");
    fs::rename(dir.path().join(CURRENT), dir.path().join(PREVIOUS)).expect("a disk");
    fs::write(dir.path().join(NEXT), "half").expect("a disk");
    assert_eq!(load(dir.path(), None), Some(kept(3)));
    save(dir.path(), &kept(4), None).expect("what a crash left is no obstacle");
    assert_eq!(load(dir.path(), None), Some(kept(4)));
}

#[test]
fn no_damaged_byte_goes_unnoticed() {
    let whole = encode(&kept(40)).expect("memory");
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        assert!(decode(&damaged).is_err(), "byte {at}");
    }
    for len in 0..whole.len() {
        assert!(decode(&whole[..len]).is_err(), "cut to {len}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(decode(&longer).is_err());
}

#[test]
fn a_file_of_another_format_says_so() {
    let mut newer = encode(&kept(1)).expect("memory");
    newer[11] = 3;
    let error = decode(&newer).expect_err("another format");
    assert!(error.to_string().contains("format 3"), "{error}");
}

#[test]
fn a_consistent_file_with_a_wrong_digest_is_refused() {
    let mut bytes = encode(&kept(1)).expect("memory");
    bytes.truncate(bytes.len() - HASH);
    bytes[45] ^= 1;
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    assert!(matches!(decode(&bytes), Err(Unusable::Digest)));
}

#[test]
fn an_unusable_file_is_set_aside_and_the_older_one_is_used() {
    let dir = tempfile::tempdir().expect("a folder");
    save(dir.path(), &kept(3), None).expect("a disk");
    save(dir.path(), &kept(4), None).expect("a disk");
    fs::write(dir.path().join(CURRENT), "WEIRCONFnonsense").expect("a disk");
    assert_eq!(load(dir.path(), None), Some(kept(3)));
    let aside = format!("{CURRENT}.unusable");
    assert_eq!(names(dir.path()), [PREVIOUS.to_owned(), aside]);
    save(dir.path(), &kept(5), None).expect("a disk");
    assert_eq!(load(dir.path(), None), Some(kept(5)));
    fs::write(dir.path().join(CURRENT), "").expect("a disk");
    fs::write(dir.path().join(PREVIOUS), "x").expect("a disk");
    assert_eq!(load(dir.path(), None), None, "nothing is left, and nothing is fatal");
}

#[test]
fn a_disk_that_cannot_be_written_is_an_error_and_keeps_what_is_there() {
    let dir = tempfile::tempdir().expect("a folder");
    save(dir.path(), &kept(3), None).expect("a disk");
    // A folder where the temporary file goes: works for every user, root included.
    fs::create_dir(dir.path().join(NEXT)).expect("a disk");
    save(dir.path(), &kept(4), None).expect_err("the file cannot be made");
    assert_eq!(load(dir.path(), None), Some(kept(3)));
    save(&dir.path().join("missing"), &kept(4), None).expect_err("there is no such folder");
}

fn key(secret: &str) -> SnapshotKey {
    SnapshotKey::derived_from(secret)
}

#[test]
fn with_a_key_nothing_can_be_read_without_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = key("one");
    for revision in [3, 4] {
        save(dir.path(), &kept(revision), Some(&key)).expect("a disk");
        assert_eq!(load(dir.path(), Some(&key)), Some(kept(revision)));
    }
    let files = [CURRENT, PREVIOUS].map(|name| fs::read(dir.path().join(name)).expect("a file"));
    assert_ne!(files[0][HEADER..HEADER + NONCE_LEN], files[1][HEADER..HEADER + NONCE_LEN]);
    let epoch = kept(4).at.epoch;
    assert!(!files[0].windows(16).any(|window| window == epoch.as_bytes()));
    assert!(matches!(read(&dir.path().join(CURRENT), None), Err(Unusable::NoKey)));
    assert_eq!(format!("{key:?}"), "SnapshotKey(******)");
}

#[test]
fn no_damaged_byte_of_an_encrypted_file_goes_unnoticed() {
    let (key, folder) = (key("one"), tempfile::tempdir().expect("a folder"));
    let whole = key.seal(encode(&kept(5)).expect("memory")).expect("randomness");
    let path = folder.path().join("file");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).expect("a disk");
        assert!(read(&path, Some(&key)).is_err(), "{what}");
    };
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        refused(&damaged, &format!("byte {at}"));
    }
    for len in 0..whole.len() {
        refused(&whole[..len], &format!("cut to {len}"));
    }
    refused(&[&whole[..], &[0]].concat(), "longer");
}

#[test]
fn a_file_of_another_key_is_set_aside_and_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    save(dir.path(), &kept(3), Some(&key("old"))).expect("a disk");
    let error = read(&dir.path().join(CURRENT), Some(&key("new"))).expect_err("another key");
    assert!(error.to_string().contains("another snapshot_key"), "{error}");
    assert_eq!(load(dir.path(), Some(&key("new"))), None, "and nothing is fatal");
    assert_eq!(names(dir.path()), [format!("{CURRENT}.unusable")]);
    save(dir.path(), &kept(4), Some(&key("new"))).expect("a disk");
    assert_eq!(load(dir.path(), Some(&key("new"))), Some(kept(4)));
    assert_eq!(load(dir.path(), None), None, "without any key, too");
}

#[test]
fn what_was_kept_in_clear_text_is_used_once_and_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    save(dir.path(), &kept(3), None).expect("a disk");
    save(dir.path(), &kept(4), None).expect("a disk");
    let key = key("one");
    assert_eq!(load(dir.path(), Some(&key)), Some(kept(4)));
    save(dir.path(), &kept(5), Some(&key)).expect("a disk");
    assert_eq!(names(dir.path()), [CURRENT], "nothing is left in clear text");
    save(dir.path(), &kept(6), Some(&key)).expect("a disk");
    assert_eq!(names(dir.path()), [CURRENT, PREVIOUS]);
}
