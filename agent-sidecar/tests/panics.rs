//! A panic in a process that holds tokens: what is printed of it. In a program of its own, for the hook is the process's.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn a_panic_says_where_and_not_what() {
    let log = Log::default();
    tracing_subscriber::fmt().with_writer(log.clone()).init();
    crumb_agent_sidecar::hygiene::quiet_panics();
    let ended = std::thread::spawn(|| panic!("canary")).join();
    let said = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("text");
    // The default hook would have to be told not to print; ours is in its place, so the harness stays silent too.
    drop(std::panic::take_hook());
    assert!(ended.is_err());
    assert!(said.contains("panics.rs") && !said.contains("canary"), "{said}");
}
