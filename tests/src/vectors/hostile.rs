//! Tokens that a stock verifier works on for seconds or minutes, or stumbles over. Each is within the size that is
//! accepted where it can be, validly signed, and has to be refused by the gate: before anything in it is evaluated.

use super::{
    Vector,
    accepted::chain_blocks,
    forge::{base64url, bytes, datalog, sign, text},
    handed_on::{EIGHT, eight_hops, presented, then},
    hops::{FIRST, hop, hop_text, sign_links, task},
    out_of_profile::{appended, binary, expression_block, ops, value},
    player::{HOLDER, vector},
};
use biscuit_auth::format::schema::{
    Array, Block, Fact, OpClosure, OpUnary, Predicate, PublicKey, SignedBlock, Term, op, term,
};
use crumb_token::{Reason, TokenText, profile::ACCEPTED_LEN_MAX};

/// All of them.
pub fn vectors() -> Vec<Vector> {
    [costly(), crooked(), large(), handed()].concat()
}

/// Hops: the same work in a third party's block, and as much as hops can make of the gate.
fn handed() -> Vec<Vector> {
    let within = |name: &str, why: &str, text: &str| {
        let links = then(task(), hop(&hop_text([HOLDER, FIRST], None, text), 0));
        presented(&format!("hostile_{name}"), why, &sign_links(&links), FIRST, Reason::TokenOutOfProfile.code())
    };
    let last = format!("{}{}", r#"check if operation("read"); "#.repeat(14), r#"check if weather("fine");"#);
    vec![
        within("hop_join_60_4", "60 facts, 4 predicates, in a hop", &join(60, 4)),
        within("hop_regex_100", "a regular expression for each of 50 facts, in a hop", &regex(100)),
        presented(
            "hostile_eight_hops",
            "eight hops with 16 keys to unpack, and wrong in the last check",
            &sign_links(&eight_hops(&last)),
            EIGHT[7].0,
            Reason::TokenOutOfProfile.code(),
        ),
    ]
}

/// Returns the bytes of those that a reader has to look into, because they are not too large; each with its name.
///
/// # Panics
///
/// Never.
pub fn hostile_tokens() -> Vec<(String, Vec<u8>)> {
    let bytes = |token: &str| TokenText::from_presented(token)?.decode();
    let read = vectors().into_iter().filter_map(|v| Some((v.name, bytes(&v.token).ok()?.to_vec())));
    read.filter(|(_, bytes)| bytes.len() <= ACCEPTED_LEN_MAX).collect()
}

/// `n` facts, and a join of `k` of them that never holds: n to the power of k steps.
fn join(n: usize, k: usize) -> String {
    let facts: String = (0..n).map(|i| format!("a({i}); ")).collect();
    format!("{facts}check if {}, $x0 > 1000000;", body(k))
}

fn body(k: usize) -> String {
    (0..k).map(|i| format!("a($x{i})")).collect::<Vec<_>>().join(", ")
}

fn regex(repeat: usize) -> String {
    let facts: String = (0..50).map(|i| format!(r#"a("s{i}"); "#)).collect();
    format!(r#"{facts}check if a($x), $x.matches("(\\w{{{repeat}}}){{3}}");"#)
}

fn closures(n: usize) -> String {
    let set = (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    let inner = format!("{{{set}}}.any($r -> $p + $q + $r > 1000000)");
    format!("check if {{{set}}}.any($p -> {{{set}}}.any($q -> {inner}));")
}

fn costly() -> Vec<Vector> {
    let before = chain_blocks(&[]);
    let rule = |n: usize, k: usize| {
        let facts: String = (0..n).map(|i| format!("a({i}); ")).collect();
        format!("{facts}b($x0) <- {}, $x0 > 1000000; check if tool(\"read_file\");", body(k))
    };
    let product: String = (0..100).map(|i| format!("a({i}); ")).collect::<String>()
        + "b($x, $y, $z) <- a($x), a($y), a($z); check if tool(\"read_file\");";
    let ambient = format!("check if {};", (0..40).map(|i| format!("tool($t{i})")).collect::<Vec<_>>().join(", "));
    let regexes: String =
        (0..16).map(|i| format!(r#"check if resource($r), $r.matches("(\\w{{1,30}}){{1,10}}|x{i}");"#)).collect();
    let cases = [
        ("join_60_3", "60 facts, 3 predicates: 0.3 s under a limit of 1 ms", join(60, 3)),
        ("join_100_3", "100 facts, 3 predicates: 1.3 s", join(100, 3)),
        ("join_30_4", "30 facts, 4 predicates: 2.1 s", join(30, 4)),
        ("join_60_4", "60 facts, 4 predicates: 27.9 s", join(60, 4)),
        ("join_60_6", "60 facts, 6 predicates: days", join(60, 6)),
        ("rule_30_4", "the same as a rule: 1.1 s", rule(30, 4)),
        ("rule_product", "a million facts out of a hundred: 9.9 s and 282 MB", product),
        ("join_of_ambient_facts", "a join without facts of its own", ambient),
        ("regex_100", "a regular expression compiled for each of 50 facts: 6.2 s", regex(100)),
        ("regex_16", "16 regular expressions: 146 ms each", regexes),
        ("closures_120", "three closures, one in the other, over 120 numbers: 1.5 s", closures(120)),
    ];
    let case = |(name, why, text): (&str, &str, String)| {
        appended(&format!("hostile_{name}"), why, datalog(&before, &text), Reason::TokenOutOfProfile)
    };
    cases.into_iter().map(case).collect()
}

/// Content that is no Datalog at all: stack underflows, functions that are not there, numbers that are too large.
fn crooked() -> Vec<Vector> {
    let out = Reason::TokenOutOfProfile;
    let truth = value(Term { content: Some(term::Content::Bool(true)) });
    let unary = |kind, ffi_name| op::Content::Unary(OpUnary { kind, ffi_name });
    let closure = |ops| op::Content::Closure(OpClosure { params: vec![1], ops });
    let expression = |name: &str, why: &str, steps: &[op::Content]| {
        appended(&format!("hostile_{name}"), why, expression_block(3, vec![ops(steps)]), out)
    };
    let fact = |name: &str, why: &str, predicate: Predicate| {
        let block = Block { version: Some(3), facts: vec![Fact { predicate }], ..Block::default() };
        appended(&format!("hostile_{name}"), why, block, out)
    };
    let with_term = |content| Predicate { name: 5, terms: vec![Term { content: Some(content) }] };
    vec![
        expression(
            "stack_underflow",
            "an operator without operands: panics when a stock library prints it",
            &[binary(0)],
        ),
        expression("unary_underflow", "the same with one operand", &[unary(0, None)]),
        expression("two_values", "two values left over", &[truth.clone(), truth.clone()]),
        expression("no_steps", "an expression of nothing", &[]),
        expression("lone_closure", "a closure that nobody calls", &[closure(vec![])]),
        expression("foreign_function", "a foreign function by a number", &[truth.clone(), unary(4, Some(0))]),
        expression("foreign_function_unnamed", "a foreign function without a name", &[truth.clone(), unary(4, None)]),
        expression("operator_unknown", "an operator that nobody knows", &[truth.clone(), truth, binary(99)]),
        fact("fact_unknown_symbol", "a name that is not there", Predicate { name: 5000, terms: vec![] }),
        fact("fact_with_variable", "a fact that is none", with_term(term::Content::Variable(1))),
        fact("fact_end_of_time", "a date beyond all calendars", with_term(term::Content::Date(u64::MAX))),
        fact("nested_arrays", "20 arrays, one in the other", with_term(nested(20))),
        vector(
            "hostile_deeper_arrays",
            "60 arrays, one in the other: deeper than a reader may follow",
            text(&sign(&[chain_blocks(&[]), vec![nested_block(60)]].concat())),
            Reason::TokenMalformed.code(),
        ),
    ]
}

fn nested(depth: usize) -> term::Content {
    let inner = |content| term::Content::Array(Array { array: vec![Term { content: Some(content) }] });
    (0..depth).fold(term::Content::Integer(1), |content, _| inner(content))
}

fn nested_block(depth: usize) -> Block {
    let predicate = Predicate { name: 5, terms: vec![Term { content: Some(nested(depth)) }] };
    Block { version: Some(3), facts: vec![Fact { predicate }], ..Block::default() }
}

fn large() -> Vec<Vector> {
    let step = datalog(&chain_blocks(&[]), r#"check if tool("read_file");"#);
    let chain = |n: usize| sign_many(&step, n);
    let symbols = |n: usize| (0..n).map(|i| format!("{i:x}")).collect::<Vec<_>>();
    let hollow = SignedBlock {
        block: vec![],
        next_key: PublicKey { algorithm: 0, key: vec![] },
        signature: vec![],
        external_signature: None,
        version: None,
    };
    let mut hollows = sign(&chain_blocks(&[]));
    hollows.blocks = vec![hollow; 500];
    vec![
        vector("hostile_40_blocks", "40 blocks in 8 KiB", base64url(&chain(40)), Reason::TokenTooDeep.code()),
        vector(
            "hostile_60_blocks",
            "60 blocks: too large to be read at all",
            base64url(&chain(60)),
            Reason::TokenTooLarge.code(),
        ),
        appended(
            "hostile_1000_symbols",
            "1000 symbols: quadratic in a stock library",
            Block { symbols: symbols(1000), ..step.clone() },
            Reason::TokenOutOfProfile,
        ),
        appended(
            "hostile_3000_empty_symbols",
            "one text 3000 times: as many symbols as fit",
            Block { symbols: vec![String::new(); 3000], ..step.clone() },
            Reason::TokenOutOfProfile,
        ),
        vector(
            "hostile_500_hollow_blocks",
            "500 blocks of nothing in 8 KiB, without keys or signatures",
            text(&hollows),
            Reason::TokenTooDeep.code(),
        ),
        vector(
            "hostile_nested_groups",
            "8192 unknown groups, one in the other: a reader that follows them runs out of stack",
            base64url(&[0x7b; 8192]),
            Reason::TokenMalformed.code(),
        ),
    ]
}

fn sign_many(step: &Block, n: usize) -> Vec<u8> {
    let mut blocks = chain_blocks(&[]);
    blocks.extend(std::iter::repeat_n(step.clone(), n));
    bytes(&sign(&blocks))
}
