//! Appended blocks outside the closed profile: everything that Biscuit can say and a Crumb token cannot.

use super::{
    Vector,
    accepted::chain_blocks,
    forge::{datalog, sign, stock, text},
    player::vector,
};
use biscuit_auth::format::schema::{
    Block, Check, Expression, Op, OpBinary, Predicate, PublicKey, Rule, Scope, Term, TermSet, op, scope, term,
};
use crumb_token::Reason;

/// All of them.
pub fn vectors() -> Vec<Vector> {
    [texts(), raw_blocks(), raw_checks()].concat()
}

/// Signs `block` behind the usual authority block.
pub fn appended(name: &str, why: &str, block: Block, reason: Reason) -> Vector {
    let blocks = [chain_blocks(&[]), vec![block]].concat();
    vector(name, why, text(&sign(&blocks)), reason.code())
}

/// Blocks that Datalog text can say, labelled as version 3 whatever they hold, so that only what they hold refuses them.
const TEXTS: &[(&str, &str, &str)] = &[
    ("block_fact", "a fact in an appended block", r#"colour("blue"); check if tool("read_file");"#),
    ("block_ambient_fact", "a holder answers its own check", r#"tool("read_file"); check if tool("read_file");"#),
    (
        "block_grant_fact",
        "a holder grants itself more",
        r#"grant("read_file", "write", "under", ""); check if tool("read_file");"#,
    ),
    ("block_rule", "a rule", r#"ok($t) <- tool($t); check if tool("read_file");"#),
    ("reject_if", "`reject if`", r#"reject if tool("write_file");"#),
    ("check_all", "`check all`", r#"check all tool($t), $t === "read_file";"#),
    ("two_queries", "a check of two queries", r#"check if tool("read_file") or tool("stat_file");"#),
    ("two_predicates", "a query of two predicates", r#"check if tool("read_file"), operation("read");"#),
    ("no_predicate", "a query without a predicate", "check if true;"),
    ("trusting_previous", "a query with a scope", r#"check if tool("read_file") trusting previous;"#),
    ("regex", "a regular expression", r#"check if tool($t), $t.matches("read.*");"#),
    ("closure_any", "a closure", r#"check if tool($t), ["read_file"].any($x -> $x === $t);"#),
    ("extern_call", "a foreign function", r#"check if tool($t), $t.extern::check();"#),
    ("lenient_equal", "the newer `==`", r#"check if tool($t), $t == "read_file";"#),
    ("strict_equal", "`===`: equality is said in the predicate", r#"check if tool($t), $t === "read_file";"#),
    ("ends_with", "another text operator", r#"check if resource($r), $r.ends_with(".md");"#),
    ("arithmetic", "arithmetic", r#"check if arg("n", $v), $v + 1 < 10;"#),
    (
        "logical_or",
        "a disjunction inside an expression",
        r#"check if tool($t), $t.starts_with("a") || $t.starts_with("r");"#,
    ),
    (
        "two_expressions",
        "two conditions where the shape has one",
        r#"check if resource($r), $r.starts_with("file:///"), $r.starts_with("file:///docs/");"#,
    ),
    ("variable_only", "a condition that every call fulfils", "check if tool($t);"),
    ("reversed_comparison", "the bound on the left", "check if time($t), 2100-01-01T00:00:00Z > $t;"),
    ("time_not_before", "a beginning: no shape of the profile", "check if time($t), $t > 2020-01-01T00:00:00Z;"),
    ("time_inclusive", "`<=` instead of `<`", "check if time($t), $t <= 2100-01-01T00:00:00Z;"),
    (
        "other_variable",
        "a condition on another variable",
        r#"check if resource($r), $s.starts_with("file:///"), $r.starts_with("");"#,
    ),
    ("authority_fact_in_check", "a check of the token's own facts", r#"check if agent("research-bot");"#),
    ("unknown_predicate", "a predicate that no verifier supplies", r#"check if weather("fine");"#),
    ("null_term", "null", r#"check if arg("n", null);"#),
    ("array_term", "an array", r#"check if arg("n", [1, 2]);"#),
    ("map_term", "a map", r#"check if arg("n", {"a": 1});"#),
    ("date_argument", "a date as argument", r#"check if arg("n", 2020-01-01T00:00:00Z);"#),
    ("bytes_argument", "bytes as argument", r#"check if arg("n", hex:00);"#),
    ("set_of_dates", "a set of dates", r#"check if arg("n", $v), {2020-01-01T00:00:00Z}.contains($v);"#),
    ("tool_starts_with", "prefixes are for resources and arguments", r#"check if tool($t), $t.starts_with("read");"#),
    (
        "tool_not_one_of",
        "bans are for arguments: new tools would be allowed",
        r#"check if tool($t), !{"write_file"}.contains($t);"#,
    ),
    (
        "not_one_of_alone",
        "a ban without holding the kind: a number would pass",
        r#"check if arg("n", $v), !{"a"}.contains($v);"#,
    ),
    ("range_half", "a range without its upper end", r#"check if arg("n", $v), $v >= 1;"#),
    (
        "digest_short",
        "a digest of 31 bytes",
        "check if args_digest(hex:00000000000000000000000000000000000000000000000000000000000000);",
    ),
    ("nonce_long", "a nonce of 17 bytes", "check if nonce(hex:0000000000000000000000000000000000);"),
    ("operation_not_a_word", "an operation that is none", r#"check if operation("Read All");"#),
    ("resource_dot_segments", "a resource that a server might resolve", r#"check if resource("file:///docs/../etc");"#),
    (
        "resource_prefix_inside_a_name",
        "a prefix that ends inside a name",
        r#"check if resource($r), $r.starts_with("file:///docs");"#,
    ),
    (
        "resource_prefix_dot_segments",
        "a prefix that a server might resolve",
        r#"check if resource($r), $r.starts_with("file:///docs/../");"#,
    ),
    ("audience_not_canonical", "an audience with a fragment", r#"check if server("https://a.example#b");"#),
    ("holder_trust_domain", "a holder without a path", r#"check if peer("spiffe://acme.example");"#),
];

fn texts() -> Vec<Vector> {
    let before = chain_blocks(&[]);
    let case = |(name, why, text): &(&str, &str, &str)| {
        appended(
            &format!("block_{}", name.trim_start_matches("block_")),
            why,
            datalog(&before, text),
            Reason::TokenOutOfProfile,
        )
    };
    let mut vectors: Vec<_> = TEXTS.iter().map(case).collect();
    let many = |n: usize| (0..n).map(|i| format!(r#""t{i}""#)).collect::<Vec<_>>().join(", ");
    let long = "a".repeat(1025);
    let sized = [
        ("block_set_too_large", "33 elements", format!("check if tool($t), {{{}}}.contains($t);", many(33))),
        ("block_17_checks", "a check too many", r#"check if tool("read_file");"#.repeat(17)),
        ("block_long_text", "a text of 1025 bytes", format!(r#"check if arg("n", "{long}");"#)),
        ("block_long_prefix", "a prefix of 1025 bytes", format!(r#"check if arg("n", $v), $v.starts_with("{long}");"#)),
    ];
    for (name, why, text) in sized {
        vectors.push(appended(name, why, datalog(&before, &text), Reason::TokenOutOfProfile));
    }
    for (name, text) in [
        ("block_version_6", r#"check if tool($t), $t == "read_file";"#),
        ("block_version_4", r#"check all tool($t), $t === "read_file";"#),
        ("block_version_6_null", r#"check if arg("n", null);"#),
    ] {
        let why = "as stock libraries label it: a version that the profile does not take";
        vectors.push(appended(name, why, stock(&before, text), Reason::TokenVersion));
    }
    vectors
}

/// One change of a good block.
fn bent(name: &str, why: &str, reason: Reason, change: impl Fn(&mut Block)) -> Vector {
    let mut block = datalog(&chain_blocks(&[]), r#"check if tool("read_file");"#);
    change(&mut block);
    appended(name, why, block, reason)
}

/// Blocks that no Datalog text can say.
fn raw_blocks() -> Vec<Vector> {
    let (out, version) = (Reason::TokenOutOfProfile, Reason::TokenVersion);
    let key = || PublicKey { algorithm: 0, key: vec![0xff; 32] };
    let numbered = |n: usize| (0..n).map(|i| format!("s{i}")).collect::<Vec<_>>();
    vec![
        bent("block_empty", "a block that says nothing", out, |b| b.checks.clear()),
        bent("block_without_version", "no version", version, |b| b.version = None),
        bent("block_version_2", "an old version", version, |b| b.version = Some(2)),
        bent("block_version_99", "a version of the future", version, |b| b.version = Some(99)),
        bent("block_scope", "a block that trusts those before it", out, |b| b.scope = vec![previous()]),
        bent("block_context", "free text", out, |b| b.context = Some("hello".into())),
        bent("block_public_key", "a key table", out, |b| b.public_keys = vec![key()]),
        bent("block_257_symbols", "a symbol too many", out, |b| b.symbols = numbered(257)),
        bent("block_symbol_overlap", "a new number for a text that has one", out, |b| b.symbols.push("read".into())),
        bent("block_symbol_twice", "two numbers for one text", out, |b| b.symbols = vec!["zz".into(), "zz".into()]),
    ]
}

/// Checks that no Datalog text can say.
fn raw_checks() -> Vec<Vector> {
    let out = Reason::TokenOutOfProfile;
    let in_query = |name: &str, why: &str, change: &dyn Fn(&mut Rule)| {
        bent(name, why, out, |b| change(&mut b.checks[0].queries[0]))
    };
    let in_check =
        |name: &str, why: &str, change: &dyn Fn(&mut Check)| bent(name, why, out, |b| change(&mut b.checks[0]));
    let tool_in = |set: &[term::Content]| {
        let set = set.iter().map(|content| Term { content: Some(content.clone()) }).collect();
        let set = Term { content: Some(term::Content::Set(TermSet { set })) };
        move |query: &mut Rule| {
            query.body[0].terms[0] = Term { content: Some(term::Content::Variable(0)) };
            query.expressions = vec![ops(&[value(set.clone()), variable(0), binary(5)])];
        }
    };
    let two_kinds = [term::Content::String(1024), term::Content::Integer(1)];
    let head = |q: &mut Rule| q.head.terms = vec![Term { content: Some(term::Content::Variable(9)) }];
    let scope = |q: &mut Rule| q.scope = vec![Scope { content: Some(scope::Content::PublicKey(77)) }];
    vec![
        in_query("block_unknown_symbol", "a number that names no text", &|q| q.body[0].name = 5000),
        in_query("block_reserved_symbol", "a number between the known and the token's own", &|q| q.body[0].name = 900),
        in_check("block_check_kind_unknown", "a kind of check that nobody knows", &|c| c.kind = Some(9)),
        in_check("block_check_kind_0", "`check if` said aloud: version 3 has no kinds", &|c| c.kind = Some(0)),
        in_check("block_zero_queries", "a check without a query", &|c| c.queries.clear()),
        in_query("block_scope_of_unknown_key", "a scope that names no key", &scope),
        in_query("block_set_empty", "a set of nothing", &tool_in(&[])),
        in_query("block_set_of_two_kinds", "a set of a text and a number", &tool_in(&two_kinds)),
        in_query("block_head_variable", "a head with a variable", &head),
        in_query("block_term_without_content", "a term that says nothing", &|q| q.body[0].terms[0].content = None),
    ]
}

fn previous() -> Scope {
    Scope { content: Some(scope::Content::ScopeType(scope::ScopeType::Previous as i32)) }
}

/// Makes an expression of steps.
pub fn ops(ops: &[op::Content]) -> Expression {
    Expression { ops: ops.iter().map(|content| Op { content: Some(content.clone()) }).collect() }
}

/// Pushes a term.
pub fn value(term: Term) -> op::Content {
    op::Content::Value(term)
}

/// Pushes a variable.
pub fn variable(number: u32) -> op::Content {
    value(Term { content: Some(term::Content::Variable(number)) })
}

/// Applies a binary operator by its number.
pub fn binary(kind: i32) -> op::Content {
    op::Content::Binary(OpBinary { kind, ffi_name: None })
}

/// Makes a block of one check with these expressions and no predicate.
pub fn expression_block(version: u32, expressions: Vec<Expression>) -> Block {
    // 27 is the number of `query`, the head of every check.
    let head = Predicate { name: 27, terms: vec![] };
    let query = Rule { head, expressions, ..Rule::default() };
    let check = Check { queries: vec![query], kind: None };
    Block { version: Some(version), checks: vec![check], ..Block::default() }
}
