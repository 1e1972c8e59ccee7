//! What a call token holds, and what it is refused for.

use super::*;
use crate::fixtures::{at, caller, key_of, mint_for, process, session_id};
use crumb_sdk::broker::{Exchange, new_request_id};
use crumb_token::parse::Unverified;

fn parent(resource: &str) -> (Parent, Grants) {
    let key = key_of(&caller("/bin/one"), session_id(1), resource);
    let exchange = Exchange {
        request: new_request_id(),
        session: key.session,
        task: None,
        audience: key.audience,
        grants: key.grants,
        ttl: None,
        holder: None,
        process: Some(process()),
        handing: None,
    };
    let minted = mint_for(&exchange, at(1000), 900);
    (Parent::read(&minted.token.decode().expect("base64url")).expect("a token"), minted.grants)
}

fn ask(tool: &str, operation: &str, resource: &str) -> Ask {
    Ask::new(tool.parse().expect(tool), operation.parse().expect(operation), resource.parse().expect(resource))
}

fn narrowed(ask: &Ask, ttl_s: u32, now: u64) -> Result<Unverified, Denial> {
    let (token, grants) = parent("docs/*");
    let ttl = CallTtl::try_from_s(ttl_s).expect("inside the bounds");
    let call = narrow(&token, &grants, at(1900), ask, ttl, at(now))?;
    let read = Unverified::parse(&call.token.decode().expect("base64url")).expect("inside the profile");
    assert_eq!(read.expires_at(), call.expires_at);
    Ok(read)
}

#[test]
fn a_call_token_is_for_one_call_only() {
    let mut ask = ask("read_file", "read", "docs/a.md");
    ask.args_digest = Some([9; 32]);
    let token = narrowed(&ask, 0, 1000).expect("granted");
    let wanted = [
        Caveat::Tool(ask.tool.clone()),
        Caveat::Operation(ask.operation.clone()),
        Caveat::Resource(ResourcePattern::Exact(ask.resource.clone())),
        Caveat::ExpiresAt(at(1015)),
        Caveat::ArgsDigest([9; 32]),
    ];
    assert_eq!(token.blocks(), [wanted.to_vec()]);
}

#[test]
fn its_end_is_never_past_the_parents() {
    let ask = ask("read_file", "read", "docs/a.md");
    assert_eq!(narrowed(&ask, 30, 1895).expect("five seconds are left").expires_at(), at(1900));
    assert_eq!(narrowed(&ask, 30, 1900).expect_err("ended").reason, Reason::TokenExpired);
}

#[test]
fn what_the_task_token_does_not_grant_is_refused_by_its_name() {
    for (ask, reason) in [
        (ask("drop_file", "read", "docs/a.md"), Reason::ToolNotGranted),
        (ask("read_file", "delete", "docs/a.md"), Reason::OperationNotGranted),
        (ask("read_file", "read", "secrets/a.md"), Reason::ResourceNotGranted),
    ] {
        let denial = narrowed(&ask, 0, 1000).expect_err("not granted");
        assert_eq!(denial.reason, reason);
        assert_eq!(denial.asked, ask.to_string());
    }
}

#[test]
fn lives_of_call_tokens_are_bounded() {
    for seconds in [0, TTL_MIN_S, TTL_MAX_S] {
        assert!(CallTtl::try_from_s(seconds).is_ok(), "{seconds}");
    }
    for seconds in [1, TTL_MIN_S - 1, TTL_MAX_S + 1, u32::MAX] {
        assert_eq!(CallTtl::try_from_s(seconds), Err(InvalidCallTtl), "{seconds}");
    }
}
