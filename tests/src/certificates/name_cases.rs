//! Cases about the name in a leaf: exactly one URI, and it is a SPIFFE ID in its one canonical form.

use rcgen::SanType;

use super::{
    case::{Case, Verdict},
    der,
    issue::uri,
    world::{ALT_NAMES, ID, World, extension},
};

const NO_URI: Verdict = Err("no_uri_name");
const SEVERAL: Verdict = Err("several_uri_names");
const NOT_CANONICAL: Verdict = Err("spiffe_id_not_canonical");

/// Returns the cases.
pub fn cases(world: &World) -> Vec<Case> {
    [kinds(world), raw(world), spellings(world)].into_iter().flatten().collect()
}

/// Which names there are.
fn kinds(world: &World) -> Vec<Case> {
    let dns = |name: &str| SanType::DnsName(name.try_into().expect("ASCII"));
    let mail = |name: &str| SanType::Rfc822Name(name.try_into().expect("ASCII"));
    let names = |rule, verdict, names: Vec<SanType>| Case::leaf(world, rule, verdict, |p| p.subject_alt_names = names);
    vec![
        names("accepts a URI beside a DNS name", Ok(()), vec![uri(ID), dns("x.a.test")]),
        names("accepts a URI after other names", Ok(()), vec![dns("x.a.test"), mail("x@a.test"), uri(ID)]),
        names("refuses two SPIFFE IDs", SEVERAL, vec![uri(ID), uri("spiffe://a.test/workload/y")]),
        names("refuses the same SPIFFE ID twice", SEVERAL, vec![uri(ID), uri(ID)]),
        names("refuses a SPIFFE ID and another URI", SEVERAL, vec![uri(ID), uri("https://a.test/x")]),
        names("refuses another URI and a SPIFFE ID", SEVERAL, vec![uri("https://a.test/x"), uri(ID)]),
        names("refuses a SPIFFE ID of each of two domains", SEVERAL, vec![uri(ID), uri("spiffe://b.test/x")]),
        names("refuses a DNS name only", NO_URI, vec![dns("x.a.test")]),
        names("refuses an ID that is written as a DNS name", NO_URI, vec![dns(ID)]),
        names("refuses an ID that is written as a mail address", NO_URI, vec![mail(ID)]),
        names("refuses a URI that is no SPIFFE ID", NOT_CANONICAL, vec![uri("https://a.test/workload/x")]),
        names("refuses a trust domain's own ID", Err("spiffe_id_without_path"), vec![uri("spiffe://a.test")]),
        Case::leaf(world, "refuses an ID that is only in the common name", NO_URI, |p| {
            p.subject_alt_names.clear();
            p.distinguished_name.push(rcgen::DnType::CommonName, ID);
        }),
    ]
}

/// Alternative names that rcgen would not write.
fn raw(world: &World) -> Vec<Case> {
    let names = |rule, verdict, names: &[&[u8]]| {
        let uris: Vec<u8> = names.iter().flat_map(|name| der::tlv(der::URI, name)).collect();
        let content = der::tlv(der::SEQUENCE, &uris);
        Case::leaf(world, rule, verdict, |p| {
            p.subject_alt_names.clear();
            p.custom_extensions.push(extension(ALT_NAMES, &content, false));
        })
    };
    let malformed = Err("malformed_certificate");
    vec![
        names("accepts the ID as raw DER", Ok(()), &[ID.as_bytes()]),
        names("refuses alternative names that are empty", NO_URI, &[]),
        names("refuses an empty URI", NOT_CANONICAL, &[b""]),
        names("refuses a URI that is not text", malformed, &[b"spiffe://a.test/workload/\xff"]),
        names("refuses a second URI that is not text", malformed, &[ID.as_bytes(), b"\xff\xfe"]),
        names("refuses a URI with a letter outside ASCII", NOT_CANONICAL, &["spiffe://a.test/é".as_bytes()]),
        Case::leaf(world, "refuses alternative names that come twice", Err("duplicate_extension"), |p| {
            let content = der::tlv(der::SEQUENCE, &der::tlv(der::URI, b"spiffe://a.test/workload/y"));
            p.custom_extensions.push(extension(ALT_NAMES, &content, false));
        }),
        Case::leaf(world, "refuses bytes behind the alternative names", malformed, |p| {
            let mut content = der::tlv(der::SEQUENCE, &der::tlv(der::URI, ID.as_bytes()));
            content.extend_from_slice(&[5, 0]);
            p.subject_alt_names.clear();
            p.custom_extensions.push(extension(ALT_NAMES, &content, false));
        }),
    ]
}

/// Spellings of an ID that some parser in the field takes for the canonical one.
fn spellings(world: &World) -> Vec<Case> {
    let long = format!("spiffe://a.test/{}", "x".repeat(2048));
    let longest = format!("spiffe://a.test/{}", "x".repeat(2048 - 16));
    let wide = format!("spiffe://{}/x", "a".repeat(256));
    let spelled = |rule, text: &str| Case::leaf(world, rule, NOT_CANONICAL, |p| p.subject_alt_names = vec![uri(text)]);
    vec![
        spelled("refuses a trust domain in capitals", "spiffe://A.TEST/workload/x"),
        spelled("refuses a scheme in capitals", "SPIFFE://a.test/workload/x"),
        spelled("refuses a percent-encoded path", "spiffe://a.test/workload/%78"),
        spelled("refuses a percent-encoded trust domain", "spiffe://%61.test/workload/x"),
        spelled("refuses a slash at the end", "spiffe://a.test/workload/x/"),
        spelled("refuses a root path", "spiffe://a.test/"),
        spelled("refuses an empty segment", "spiffe://a.test/workload//x"),
        spelled("refuses a dot segment", "spiffe://a.test/workload/./x"),
        spelled("refuses a dot-dot segment", "spiffe://a.test/other/../workload/x"),
        spelled("refuses dots as a trust domain", "spiffe://../workload/x"),
        spelled("refuses a port", "spiffe://a.test:443/workload/x"),
        spelled("refuses user information", "spiffe://root@a.test/workload/x"),
        spelled("refuses a query", "spiffe://a.test/workload/x?a=b"),
        spelled("refuses a fragment", "spiffe://a.test/workload/x#a"),
        spelled("refuses a newline at the end", "spiffe://a.test/workload/x\n"),
        spelled("refuses a zero byte at the end", "spiffe://a.test/workload/x\0"),
        spelled("refuses a zero byte inside", "spiffe://a.test\0.b.test/workload/x"),
        spelled("refuses a space before", " spiffe://a.test/workload/x"),
        spelled("refuses an empty trust domain", "spiffe:///workload/x"),
        spelled("refuses one slash", "spiffe:/a.test/workload/x"),
        spelled("refuses a trust domain that ends with a dot", "spiffe://a.test./workload/x"),
        spelled("refuses a trust domain of 256 bytes", &wide),
        spelled("refuses an ID of more than 2048 bytes", &long),
        // A server is dialled by its ID, and this is another one.
        Case::leaf(world, "accepts an ID of 2048 bytes", Ok(()), |p| p.subject_alt_names = vec![uri(&longest)])
            .but_as_server(Err("peer_not_admitted")),
    ]
}
