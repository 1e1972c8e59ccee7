//! Authority blocks outside the profile, each signed by the broker's own key: the gate does not trust the broker either.

use super::{
    Vector,
    forge::{add_fact, authority, sign, string, symbol, take_facts, text},
    player::{claims, vector},
};
use biscuit_auth::format::schema::{Block, Term, op, term};
use crumb_token::{Reason, profile::fact};

/// All of them.
pub fn vectors() -> Vec<Vector> {
    [facts(), strange_facts(), words(), checks()].concat()
}

fn integer(i: i64) -> Term {
    Term { content: Some(term::Content::Integer(i)) }
}

fn bytes(len: usize) -> Term {
    Term { content: Some(term::Content::Bytes(vec![7; len])) }
}

/// Returns the block with another depth limit.
pub fn with_depth_limit(mut block: Block, limit: i64) -> Block {
    take_facts(&mut block, fact::DEPTH_LIMIT);
    add_fact(&mut block, fact::DEPTH_LIMIT, vec![integer(limit)]);
    block
}

/// One change of the usual authority block.
fn changed(name: &str, why: &str, reason: Reason, change: impl Fn(&mut Block)) -> Vector {
    let mut block = authority(&claims());
    change(&mut block);
    vector(name, why, text(&sign(&[block])), reason.code())
}

fn facts() -> Vec<Vector> {
    let out = Reason::TokenOutOfProfile;
    let mandatory = [
        fact::PROFILE,
        fact::TOKEN_ID,
        fact::SESSION,
        fact::AGENT,
        fact::AGENT_VERSION,
        fact::ENVIRONMENT,
        fact::HOLDER,
        fact::ORIGIN,
        fact::INTENT_DIGEST,
        fact::AUDIENCE,
        fact::ISSUED_AT,
        fact::EXPIRES_AT,
        fact::DEPTH_LIMIT,
        fact::IDENTITY_PROVIDER,
        fact::GRANT,
    ];
    let missing = mandatory
        .map(|name| changed(&format!("without_fact_{name}"), "a fact is missing", out, |b| drop(take_facts(b, name))));
    let twice = [fact::HOLDER, fact::ISSUED_AT, fact::DEPTH_LIMIT, fact::GRANT].map(|name| {
        changed(&format!("twice_fact_{name}"), "a fact comes twice", out, |b| {
            let facts = take_facts(b, name);
            b.facts.extend(facts.iter().chain(&facts).cloned());
        })
    });
    missing.into_iter().chain(twice).collect()
}

/// Adds a fact of one text.
fn text_fact(name: &'static str, value: &'static str) -> impl Fn(&mut Block) {
    move |b| {
        let term = string(b, value);
        add_fact(b, name, vec![term]);
    }
}

/// Facts that the profile does not list, or not like this.
fn strange_facts() -> Vec<Vector> {
    let out = Reason::TokenOutOfProfile;
    vec![
        changed("unknown_fact", "a fact that the profile does not list", out, text_fact("favourite_colour", "blue")),
        changed("ambient_tool", "a fact that only the verifier may supply", out, text_fact("tool", "read_file")),
        changed(
            "ambient_peer",
            "a fact that only the verifier may supply",
            out,
            text_fact("peer", "spiffe://a.example/b"),
        ),
        changed("ambient_time", "a fact that only the verifier may supply", out, |b| {
            add_fact(b, "time", vec![Term { content: Some(term::Content::Date(0)) }]);
        }),
        changed("profile_version_2", "a profile that is not known", Reason::TokenVersion, |b| {
            take_facts(b, fact::PROFILE);
            add_fact(b, fact::PROFILE, vec![integer(2)]);
        }),
        changed("actors_out_of_order", "the second actor without the first", out, |b| {
            take_facts(b, fact::ACTOR);
            let id = string(b, "spiffe://a.example/b");
            add_fact(b, fact::ACTOR, vec![integer(1), id]);
        }),
        changed("ancestors_out_of_order", "the second session above without the first", out, |b| {
            take_facts(b, fact::ANCESTOR);
            let id = string(b, "ses_01983f00000070008000000000000001");
            let [agent, version] = ["planner", "2.0"].map(|word| string(b, word));
            add_fact(b, fact::ANCESTOR, vec![integer(1), id, agent, version, bytes(32)]);
        }),
        changed("ancestor_no_session", "a session above that is no session", out, |b| {
            take_facts(b, fact::ANCESTOR);
            let id = string(b, "tok_01983f00000070008000000000000001");
            let [agent, version] = ["planner", "2.0"].map(|word| string(b, word));
            add_fact(b, fact::ANCESTOR, vec![integer(0), id, agent, version, bytes(32)]);
        }),
        changed("ancestor_with_half_a_digest", "16 bytes of its intent's digest", out, |b| {
            take_facts(b, fact::ANCESTOR);
            let id = string(b, "ses_01983f00000070008000000000000001");
            let [agent, version] = ["planner", "2.0"].map(|word| string(b, word));
            add_fact(b, fact::ANCESTOR, vec![integer(0), id, agent, version, bytes(16)]);
        }),
        changed(
            "agent_origin",
            "an agent as origin: what set off the outermost session is a person or a schedule",
            out,
            |b| {
                take_facts(b, fact::ORIGIN);
                let terms =
                    ["agent", "ses_01983f00000070008000000000000001", "verified"].map(|t| string(b, t)).to_vec();
                add_fact(b, fact::ORIGIN, terms);
            },
        ),
        changed("symbol_twice", "two numbers for one text", out, |b| b.symbols.push("session".into())),
        changed("symbol_of_every_implementation", "a new number for a text that has one", out, |b| {
            b.symbols.push("read".into())
        }),
        changed("authority_context", "free text", out, |b| b.context = Some("hello".into())),
    ]
}

/// Texts that are not in the one form of their kind.
fn words() -> Vec<Vector> {
    let out = Reason::TokenOutOfProfile;
    let replaced = |name: &'static str, value: &'static str| {
        move |b: &mut Block| {
            take_facts(b, name);
            text_fact(name, value)(b);
        }
    };
    let grant = |kind: &'static str, resource: &'static str| {
        move |b: &mut Block| {
            let terms = ["read_file", "read", kind, resource].map(|t| string(b, t)).to_vec();
            add_fact(b, fact::GRANT, terms);
        }
    };
    vec![
        changed(
            "holder_not_canonical",
            "a SPIFFE ID in capitals",
            out,
            replaced(fact::HOLDER, "spiffe://ACME.example/a"),
        ),
        changed("audience_not_canonical", "a host in capitals", out, replaced(fact::AUDIENCE, "https://A.example")),
        changed(
            "token_id_of_another_kind",
            "a session's number as the token's",
            out,
            replaced(fact::TOKEN_ID, "ses_01983f00000070008000000000000001"),
        ),
        changed(
            "grant_with_dot_segments",
            "a resource that a server might resolve",
            out,
            grant("exact", "file:///docs/../etc"),
        ),
        changed("grant_prefix_inside_a_name", "a prefix that ends inside a name", out, grant("under", "file:///docs")),
        changed("grant_of_unknown_kind", "neither exact nor under", out, grant("like", "file:///docs/")),
        changed("grant_with_star", "a pattern as an exact resource", out, grant("exact", "file:///docs/*")),
    ]
}

fn checks() -> Vec<Vector> {
    let out = Reason::TokenOutOfProfile;
    let names = ["expiry", "audience", "holder", "grant"];
    let missing = (0..4).map(|i| {
        changed(&format!("without_check_{}", names[i]), "one of the four checks is missing", out, move |b| {
            b.checks.remove(i);
        })
    });
    // The facts as always, beside a check that says something else: what a reader sees is not what is enforced.
    let disagreeing = (0..3).map(|i| {
        let name = format!("check_disagrees_{}", names[i]);
        changed(&name, "a check says something else than its fact", out, |b| disagree(b, i))
    });
    let others = [
        changed("checks_out_of_order", "the four checks in another order", out, |b| b.checks.swap(0, 1)),
        changed("fifth_check", "a check too many", out, |b| b.checks.push(b.checks[0].clone())),
        changed("grant_check_of_one_query", "the exact half of the grant check only", out, |b| {
            drop(b.checks[3].queries.pop())
        }),
        changed("grant_check_reversed", "starts_with the other way round", out, |b| {
            b.checks[3].queries[1].expressions[0].ops.swap(0, 1);
        }),
        changed("grant_check_any_operation", "the grant's operation is not the call's", out, |b| {
            let other = u32::try_from(symbol(b, "elsewhere")).expect("small");
            let variable = Term { content: Some(term::Content::Variable(other)) };
            b.checks[3].queries[0].body[3].terms[1] = variable;
        }),
        changed("grant_check_all", "`check all` for the grants", out, |b| b.checks[3].kind = Some(1)),
    ];
    missing.chain(disagreeing).chain(others).collect()
}

fn disagree(block: &mut Block, check: usize) {
    let other = match check {
        0 => Term { content: Some(term::Content::Date(u64::MAX)) },
        1 => string(block, "https://a.example"),
        _ => string(block, "spiffe://a.example/b"),
    };
    let query = &mut block.checks[check].queries[0];
    match query.expressions.first_mut() {
        Some(expression) => expression.ops[1].content = Some(op::Content::Value(other)),
        None => query.body[0].terms[0] = other,
    }
}
