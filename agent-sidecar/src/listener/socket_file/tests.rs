//! Real sockets in directories of our own: modes, squatters, the dead and the living.

use super::*;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run").join("s.sock");
    (dir, path)
}

fn listen_at(path: &Path) -> Result<(SocketFile, UnixListener), UnusableSocket> {
    SocketFile::listen(path, SocketMode::Owner, None)
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o777
}

#[test]
fn directory_and_socket_have_the_strict_modes() {
    for (mode, directory, socket) in
        [(SocketMode::Owner, 0o700, 0o600), (SocketMode::Group, 0o750, 0o660), (SocketMode::AnyUser, 0o755, 0o666)]
    {
        let (_dir, path) = place();
        let _held = SocketFile::listen(&path, mode, None).expect("a fresh place");
        assert_eq!(mode_of(path.parent().expect("a parent")), directory);
        assert_eq!(mode_of(&path), socket);
    }
}

#[test]
fn the_group_can_enter_a_directory_that_was_there() {
    let (_dir, path) = place();
    let directory = path.parent().expect("a parent");
    fs::create_dir(directory).expect("a directory");
    fs::set_permissions(directory, Permissions::from_mode(0o750)).expect("ours");
    // Root can give it to any group, others to one of theirs.
    let (gid, name) = if geteuid().is_root() { (65534, group_name(65534)) } else { own_group() };
    let _held = SocketFile::listen(&path, SocketMode::Group, Some(&name)).expect("ours");
    for path in [directory, &path] {
        assert_eq!(fs::symlink_metadata(path).expect("it is there").gid(), gid, "{}", path.display());
    }
    assert_eq!((mode_of(directory), mode_of(&path)), (0o750, 0o660));
}

fn group_name(gid: u32) -> String {
    Group::from_gid(Gid::from_raw(gid)).expect("a group file").expect("a group with this number").name
}

fn own_group() -> (u32, String) {
    let gid = nix::unistd::getegid().as_raw();
    (gid, group_name(gid))
}

#[test]
fn refuses_a_symbolic_link_and_a_file_and_leaves_them() {
    let (_dir, path) = place();
    drop(listen_at(&path).expect("makes the directory"));
    let target = path.with_file_name("target");
    symlink(&target, &path).expect("a link");
    assert!(matches!(listen_at(&path), Err(UnusableSocket::Occupied(_))));
    fs::remove_file(&path).expect("the link is still there");
    fs::write(&path, "x").expect("a file");
    assert!(matches!(listen_at(&path), Err(UnusableSocket::Occupied(_))));
    assert_eq!(fs::read(&path).expect("untouched"), b"x");
}

#[test]
fn refuses_a_directory_that_is_a_link_or_open_to_others() {
    let (dir, path) = place();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a directory");
    symlink(&elsewhere, dir.path().join("run")).expect("a link");
    assert!(matches!(listen_at(&path), Err(UnusableSocket::NotADirectory(_))));

    let open = dir.path().join("open");
    fs::create_dir(&open).expect("a directory");
    fs::set_permissions(&open, Permissions::from_mode(0o770)).expect("ours");
    assert!(matches!(listen_at(&open.join("s.sock")), Err(UnusableSocket::OpenDirectory { .. })));
}

#[test]
fn takes_the_place_of_a_dead_socket_but_not_of_a_live_one() {
    let (_dir, path) = place();
    let (file, listener) = listen_at(&path).expect("a fresh place");
    assert!(matches!(listen_at(&path), Err(UnusableSocket::Served(_))));
    drop(listener);
    std::mem::forget(file);
    assert!(listen_at(&path).is_ok());
}

#[test]
fn removes_only_its_own_socket() {
    let (_dir, path) = place();
    let (file, _listener) = listen_at(&path).expect("a fresh place");
    fs::remove_file(&path).expect("ours");
    fs::write(&path, "somebody else's").expect("a file");
    drop(file);
    assert!(path.exists());

    fs::remove_file(&path).expect("ours");
    drop(listen_at(&path).expect("a fresh place"));
    assert!(!path.exists());
}

#[test]
fn refuses_a_path_that_no_socket_address_holds() {
    let (dir, _) = place();
    let long = dir.path().join("a".repeat(120));
    assert!(matches!(listen_at(&long), Err(UnusableSocket::Path(_))));
    assert!(matches!(
        SocketFile::listen(&dir.path().join("s"), SocketMode::Group, Some("no-such-group")),
        Err(UnusableSocket::UnknownGroup(_))
    ));
}
