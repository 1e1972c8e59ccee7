//! Where a socket is made, and where it is not.

use std::os::unix::{fs::symlink, net::UnixStream};

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder of our own")
}

fn bits(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it exists").mode() & 0o7777
}

#[test]
fn makes_what_is_missing_and_removes_its_own() {
    let root = folder();
    let path = root.path().join("run/crumb/api.sock");
    let (_listener, file) = SocketFile::bind(&path, SocketMode::OwnerOnly).expect("a fresh place");
    assert_eq!((bits(&path), bits(path.parent().expect("a folder"))), (0o600, 0o700));
    UnixStream::connect(&path).expect("it listens");
    drop(file);
    assert!(!path.exists());
}

#[test]
fn lets_other_uids_in_only_when_told_to() {
    let root = folder();
    let path = root.path().join("open/api.sock");
    let (_listener, _file) = SocketFile::bind(&path, SocketMode::AnyUser).expect("a fresh place");
    assert_eq!((bits(&path), bits(path.parent().expect("a folder"))), (0o666, 0o711));
}

#[test]
fn refuses_what_is_not_a_socket_and_leaves_it_alone() {
    let root = folder();
    let (file, link, dir) = (root.path().join("file"), root.path().join("link"), root.path().join("dir"));
    fs::write(&file, "mine").expect("writable");
    symlink(root.path().join("elsewhere"), &link).expect("writable");
    fs::create_dir(&dir).expect("writable");
    for path in [&file, &link, &dir] {
        let refused = SocketFile::bind(path, SocketMode::OwnerOnly);
        assert!(matches!(refused, Err(UnusableSocket::NotASocket(_))), "{}", path.display());
    }
    assert_eq!(fs::read_to_string(&file).expect("untouched"), "mine");
    assert!(!root.path().join("elsewhere").exists());
}

#[test]
fn refuses_a_socket_that_is_served_and_takes_over_a_dead_one() {
    let root = folder();
    let path = root.path().join("api.sock");
    let living = UnixListener::bind(&path).expect("a fresh place");
    assert!(matches!(SocketFile::bind(&path, SocketMode::OwnerOnly), Err(UnusableSocket::InUse(_))));
    drop(living);
    assert!(path.exists(), "std leaves the file");
    SocketFile::bind(&path, SocketMode::OwnerOnly).expect("nobody answers there");
}

#[test]
fn leaves_the_socket_of_a_successor() {
    let root = folder();
    let path = root.path().join("api.sock");
    let (listener, file) = SocketFile::bind(&path, SocketMode::OwnerOnly).expect("a fresh place");
    drop(listener);
    let (_next, _next_file) = SocketFile::bind(&path, SocketMode::OwnerOnly).expect("nobody answers there");
    drop(file);
    assert!(path.exists());
}

#[test]
fn refuses_folders_that_others_can_write_in() {
    let root = folder();
    let shared = root.path().join("shared");
    fs::create_dir(&shared).expect("writable");
    for mode in [0o770, 0o707, 0o777] {
        fs::set_permissions(&shared, Permissions::from_mode(mode)).expect("ours");
        let refused = SocketFile::bind(&shared.join("api.sock"), SocketMode::OwnerOnly);
        assert!(matches!(refused, Err(UnusableSocket::Folder(_))), "{mode:o}");
    }
    let below = shared.join("below");
    fs::create_dir(&below).expect("writable");
    let refused = SocketFile::bind(&below.join("api.sock"), SocketMode::OwnerOnly);
    assert!(matches!(refused, Err(UnusableSocket::Folder(at)) if at.ends_with("shared")));
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).expect("ours");
    SocketFile::bind(&shared.join("api.sock"), SocketMode::OwnerOnly).expect("sticky, as /tmp is");
}

#[test]
fn refuses_a_folder_that_is_a_link() {
    let root = folder();
    let link = root.path().join("link");
    symlink(root.path(), &link).expect("writable");
    let refused = SocketFile::bind(&link.join("api.sock"), SocketMode::OwnerOnly);
    assert!(matches!(refused, Err(UnusableSocket::Folder(_))));
}

#[test]
fn refuses_relative_and_overlong_paths() {
    let refused = SocketFile::bind(Path::new("api.sock"), SocketMode::OwnerOnly);
    assert!(matches!(refused, Err(UnusableSocket::Relative)));
    let root = folder();
    let long = root.path().join("x".repeat(120));
    assert!(matches!(SocketFile::bind(&long, SocketMode::OwnerOnly), Err(UnusableSocket::Io { .. })));
}
