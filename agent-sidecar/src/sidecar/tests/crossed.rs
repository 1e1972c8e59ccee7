//! Callers who all ask for the very same, many at once: nobody gets, and nobody moves, what is another's.
//!
//! Apart from the other tests because here nothing tells callers apart but what the kernel said of each.

use super::*;
use crumb_attestors::unix_process::LocalIdentity;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::sync::Mutex;
use tokio::task::JoinSet;

/// How many of each caller ask at once.
const AT_ONCE: u64 = 8;
/// How often each of them asks.
const ASKS: usize = 40;
/// The same sessions and the same rights for everybody, so that the broker's answers differ by the caller alone.
const SESSIONS: usize = 2;
const RESOURCES: [&str; 2] = ["docs/*", "docs/a.md"];

/// A handle, whose it is, and in which session it was begun.
#[derive(Clone, Copy)]
struct Handle {
    owner: usize,
    session: SessionId,
    task: TaskId,
}

struct House {
    sidecar: Sidecar,
    callers: Vec<(Attested, Vec<SessionId>)>,
    handles: Mutex<Vec<Handle>>,
}

/// Callers each of whom differs from the first in one thing that the kernel says.
fn identities() -> [LocalIdentity; 6] {
    let first = LocalIdentity::clone(&caller("/bin/one"));
    [
        first.clone(),
        LocalIdentity { uid: 1001, ..first.clone() },
        LocalIdentity { gid: 1001, ..first.clone() },
        LocalIdentity { exe: "/bin/other".into(), ..first.clone() },
        LocalIdentity { exe_sha256: [8; 32], ..first.clone() },
        LocalIdentity { cgroup: "0::/other".into(), ..first },
    ]
}

async fn house() -> Arc<House> {
    let sidecar = bench().sidecar;
    let mut callers = vec![];
    for identity in identities() {
        let caller = Attested { identity: Arc::new(identity), process: process() };
        let mut sessions = vec![];
        for _ in 0..SESSIONS {
            sessions.push(sidecar.open(&caller, opening()).await.expect("the broker opens it").0);
        }
        callers.push((caller, sessions));
    }
    Arc::new(House { sidecar, callers, handles: Mutex::default() })
}

impl House {
    /// Begins a task as `who`, and shows its handle to everybody.
    async fn begin(&self, who: usize, rng: &mut StdRng) {
        let (caller, sessions) = &self.callers[who];
        let session = sessions[rng.random_range(0..SESSIONS)];
        let wanted = Beginning { grants: grants(RESOURCES[rng.random_range(0..2)]), ..beginning(session, true) };
        let task = self.sidecar.begin(caller, wanted).await.expect("the broker grants it").task;
        self.handles.lock().expect("not poisoned").push(Handle { owner: who, session, task });
    }

    /// Uses somebody's handle as `who`; says whether it was another's.
    async fn try_one(&self, who: usize, rng: &mut StdRng) -> bool {
        let handle = {
            let handles = self.handles.lock().expect("not poisoned");
            handles[rng.random_range(0..handles.len())]
        };
        let (caller, sessions) = &self.callers[who];
        let got = self.sidecar.call_token(caller, handle.task, &ask(), CallTtl::default()).await;
        if handle.owner == who {
            let bytes = got.expect("its own").token.decode().expect("base64url");
            let session = Unverified::parse(&bytes).expect("inside the profile").claims().session;
            assert!(session == handle.session && sessions.contains(&session), "another's token: {session}");
            return false;
        }
        assert_eq!(got.map(|_| ()).expect_err("another's task").reason, Reason::SessionUnknown);
        let begun = self.sidecar.begin(caller, beginning(handle.session, true)).await;
        assert_eq!(begun.map(|_| ()).expect_err("another's session").reason, Reason::SessionUnknown);
        let closed = self.sidecar.close(caller, handle.session).await;
        assert_eq!(closed.expect_err("another's session").reason, Reason::SessionUnknown);
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_callers_at_once_nobody_gets_what_is_anothers() {
    let house = house().await;
    let mut asking = JoinSet::new();
    for who in 0..house.callers.len() {
        for n in 0..AT_ONCE {
            let (house, mut rng) = (Arc::clone(&house), StdRng::seed_from_u64(100 * n + who as u64));
            asking.spawn(async move {
                let mut others = 0;
                for _ in 0..ASKS {
                    house.begin(who, &mut rng).await;
                    others += usize::from(house.try_one(who, &mut rng).await);
                }
                others
            });
        }
    }
    let others: usize = asking.join_all().await.into_iter().sum();
    assert!(others > ASKS, "{others} times somebody tried what was another's");
}
