//! The tree held to published vectors, and to a second tree that is written from the RFC's definitions as they stand.

use crumb_audit::{ConsistencyProof, Frontier, InclusionProof, Leaves, TreeHash, consistency::Tree, nodes};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// The eight leaves of the test suite of the Certificate Transparency project.
/// Source: `testonly/constants.go` of github.com/transparency-dev/merkle, before in google/certificate-transparency.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The roots over none to eight of them. Source: as above.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Index, size, proof. Source: as above, from the project's own tests.
const INCLUSION: [(u64, u64, &[&str]); 3] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

/// Old size, new size, proof. Source: as above.
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn hash(hex_text: &str) -> TreeHash {
    TreeHash::from_bytes(hex::decode(hex_text).expect("hex").try_into().expect("32 bytes"))
}

fn published() -> Vec<TreeHash> {
    LEAVES.iter().map(|leaf| TreeHash::of_leaf(&hex::decode(leaf).expect("hex"))).collect()
}

fn numbered(count: u64) -> Vec<TreeHash> {
    (0..count).map(|n| TreeHash::of_leaf(&n.to_be_bytes())).collect()
}

fn size_of(leaves: &[TreeHash]) -> u64 {
    leaves.len().try_into().expect("few")
}

fn root(leaves: &[TreeHash], size: u64) -> TreeHash {
    nodes::root(&Leaves(leaves), size).expect("in the tree")
}

/// The definitions of RFC 6962 §2.1, word for word and slow. Shares nothing with the room but the type of a hash.
mod by_the_rfc {
    use super::*;

    fn node(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
        Sha256::digest([[1].as_slice(), &left, &right].concat()).into()
    }

    fn split(n: usize) -> usize {
        n.next_power_of_two() / 2
    }

    pub(crate) fn mth(d: &[TreeHash]) -> [u8; 32] {
        match d {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf.as_bytes(),
            _ => node(mth(&d[..split(d.len())]), mth(&d[split(d.len())..])),
        }
    }

    pub(crate) fn path(m: usize, d: &[TreeHash]) -> Vec<[u8; 32]> {
        if d.len() == 1 {
            return vec![];
        }
        let k = split(d.len());
        let (mut rest, last) =
            if m < k { (path(m, &d[..k]), mth(&d[k..])) } else { (path(m - k, &d[k..]), mth(&d[..k])) };
        rest.push(last);
        rest
    }

    pub(crate) fn subproof(m: usize, d: &[TreeHash], b: bool) -> Vec<[u8; 32]> {
        if m == d.len() {
            return if b { vec![] } else { vec![mth(d)] };
        }
        let k = split(d.len());
        let (mut rest, last) = if m <= k {
            (subproof(m, &d[..k], b), mth(&d[k..]))
        } else {
            (subproof(m - k, &d[k..], false), mth(&d[..k]))
        };
        rest.push(last);
        rest
    }
}

fn bytes(hashes: &[TreeHash]) -> Vec<[u8; 32]> {
    hashes.iter().map(|hash| *hash.as_bytes()).collect()
}

#[test]
fn roots_are_the_published_ones() {
    let leaves = published();
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), hash(ROOTS[0]));
    for (size, leaf) in (1u64..).zip(&leaves) {
        frontier.append(*leaf);
        let expected = hash(ROOTS[usize::try_from(size).expect("few")]);
        assert_eq!((frontier.root(), root(&leaves, size)), (expected, expected));
    }
}

#[test]
fn proofs_are_the_published_ones() {
    let leaves = published();
    for (index, size, expected) in INCLUSION {
        let proof = InclusionProof::make(&Leaves(&leaves), index, size).expect("nodes").expect("a leaf");
        assert_eq!(proof.hashes(), expected.iter().map(|h| hash(h)).collect::<Vec<_>>());
        let leaf = leaves[usize::try_from(index).expect("few")];
        assert!(proof.proves(&leaf, index, size, &hash(ROOTS[usize::try_from(size).expect("few")])));
    }
    for (old, new, expected) in CONSISTENCY {
        let proof = ConsistencyProof::make(&Leaves(&leaves), old, new).expect("nodes").expect("grown");
        assert_eq!(proof.hashes(), expected.iter().map(|h| hash(h)).collect::<Vec<_>>());
        let tree = |size: u64| Tree { size, root: hash(ROOTS[usize::try_from(size).expect("few")]) };
        assert!(proof.proves(&tree(old), &tree(new)));
    }
}

#[test]
fn every_proof_of_every_small_tree_is_that_of_the_rfc_and_holds() {
    let leaves = numbered(40);
    for size in 1..=40u64 {
        let d = &leaves[..usize::try_from(size).expect("few")];
        assert_eq!(root(&leaves, size).as_bytes(), &by_the_rfc::mth(d));
        for at in 0..size {
            let m = usize::try_from(at).expect("few");
            let proof = InclusionProof::make(&Leaves(&leaves), at, size).expect("nodes").expect("a leaf");
            assert_eq!(bytes(proof.hashes()), by_the_rfc::path(m, d));
            assert!(proof.proves(&leaves[m], at, size, &root(&leaves, size)));
            let grown = ConsistencyProof::make(&Leaves(&leaves), at + 1, size).expect("nodes").expect("grown");
            assert_eq!(bytes(grown.hashes()), by_the_rfc::subproof(m + 1, d, true));
            let tree = |size| Tree { size, root: root(&leaves, size) };
            assert!(grown.proves(&tree(at + 1), &tree(size)));
        }
    }
}

#[test]
fn a_frontier_can_be_stored_at_any_size_and_stores_every_node_once() {
    let leaves = numbered(70);
    let (mut frontier, mut stored) = (Frontier::new(), std::collections::BTreeMap::new());
    for (size, leaf) in (0u64..).zip(&leaves) {
        frontier = Frontier::resume(size, frontier.hashes().to_vec()).expect("what it was");
        frontier.append_storing(*leaf, |level, index, hash| {
            assert_eq!(stored.insert((level, index), hash), None);
        });
        assert_eq!(frontier.root().as_bytes(), &by_the_rfc::mth(&leaves[..=usize::try_from(size).expect("few")]));
    }
    for ((level, index), hash) in stored {
        assert_eq!(nodes::Nodes::node(&Leaves(&leaves), level, index), Ok(hash));
    }
}

#[test]
fn refuses_frontiers_that_cannot_be() {
    assert!(Frontier::resume(3, vec![TreeHash::ZERO]).is_err());
    assert!(Frontier::resume(0, vec![TreeHash::ZERO]).is_err());
    assert!(Frontier::resume(u64::MAX, vec![TreeHash::ZERO; 64]).is_err());
    let mut largest = Frontier::resume(Frontier::SIZE_MAX, vec![TreeHash::ZERO; 63]).expect("63 bits");
    largest.append(TreeHash::ZERO);
    assert_eq!(largest.size(), Frontier::SIZE_MAX + 1);
}

#[test]
fn refuses_proofs_that_are_too_long_and_asks_that_make_no_sense() {
    assert!(InclusionProof::new(vec![TreeHash::ZERO; 65]).is_err());
    assert!(ConsistencyProof::new(vec![TreeHash::ZERO; 66]).is_err());
    let leaves = numbered(3);
    assert_eq!(InclusionProof::make(&Leaves(&leaves), 3, 3), Ok(None));
    assert_eq!(ConsistencyProof::make(&Leaves(&leaves), 3, 2), Ok(None));
    assert!(InclusionProof::make(&Leaves(&leaves), 1, 9).is_err(), "the nodes are not there");
    let nothing = Tree { size: 0, root: TreeHash::of_nothing() };
    let some = Tree { size: 3, root: root(&leaves, 3) };
    let empty = ConsistencyProof::new(vec![]).expect("short");
    assert!(empty.proves(&nothing, &some) && empty.proves(&some, &some));
    assert!(!empty.proves(&Tree { size: 0, root: TreeHash::ZERO }, &some));
    assert!(!empty.proves(&some, &Tree { root: TreeHash::ZERO, ..some }));
    assert!(!empty.proves(&Tree { size: 2, root: root(&leaves, 2) }, &some));
    assert!(!empty.proves(&some, &nothing));
}

fn tree_hash() -> impl Strategy<Value = TreeHash> {
    any::<[u8; 32]>().prop_map(TreeHash::from_bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn larger_trees_agree_with_the_rfc(size in 1u64..600, at in any::<prop::sample::Index>(), old in any::<prop::sample::Index>()) {
        let leaves = numbered(size);
        let n = leaves.len();
        let (m, old) = (at.index(n), old.index(n) + 1);
        let whole = root(&leaves, size);
        prop_assert_eq!(whole.as_bytes(), &by_the_rfc::mth(&leaves));
        let proof = InclusionProof::make(&Leaves(&leaves), m as u64, size).expect("nodes").expect("a leaf");
        prop_assert_eq!(bytes(proof.hashes()), by_the_rfc::path(m, &leaves));
        prop_assert!(proof.proves(&leaves[m], m as u64, size, &whole));
        let grown = ConsistencyProof::make(&Leaves(&leaves), old as u64, size).expect("nodes").expect("grown");
        prop_assert_eq!(bytes(grown.hashes()), by_the_rfc::subproof(old, &leaves, true));
        let before = Tree { size: old as u64, root: root(&leaves, old as u64) };
        let holds = grown.proves(&before, &Tree { size, root: whole });
        prop_assert!(holds);
    }

    #[test]
    fn a_proof_that_was_changed_anywhere_proves_nothing(
        size in 2u64..80, at in any::<prop::sample::Index>(), which in any::<prop::sample::Index>(), other in tree_hash(), how in 0..6,
    ) {
        let leaves = numbered(size);
        let m = at.index(leaves.len());
        let (mut leaf, mut index, mut n, mut whole) = (leaves[m], m as u64, size, root(&leaves, size));
        let proof = InclusionProof::make(&Leaves(&leaves), index, size).expect("nodes").expect("a leaf");
        let mut hashes = proof.hashes().to_vec();
        match how {
            0 => { let i = which.index(hashes.len()); hashes[i] = other }
            1 => { hashes.remove(which.index(hashes.len())); }
            2 => hashes.insert(which.index(hashes.len() + 1), other),
            3 => leaf = other,
            4 => whole = other,
            _ => {
                index = which.index(leaves.len()) as u64;
                prop_assume!(index != m as u64);
                n = size_of(&leaves);
            }
        }
        prop_assert!(!InclusionProof::new(hashes).expect("short").proves(&leaf, index, n, &whole));
    }

    #[test]
    fn a_tree_that_was_rewritten_is_not_consistent(
        old in 1u64..80, more in 1u64..80, changed in any::<prop::sample::Index>(), other in tree_hash(),
    ) {
        let leaves = numbered(old + more);
        let before = Tree { size: old, root: root(&leaves, old) };
        let mut rewritten = leaves.clone();
        rewritten[changed.index(usize::try_from(old).expect("few"))] = other;
        let after = Tree { size: size_of(&rewritten), root: root(&rewritten, size_of(&rewritten)) };
        for leaves in [&leaves, &rewritten] {
            let proof = ConsistencyProof::make(&Leaves(leaves), old, after.size).expect("nodes").expect("grown");
            prop_assert!(!proof.proves(&before, &after));
        }
    }

    #[test]
    fn random_proofs_prove_nothing_and_never_panic(
        hashes in prop::collection::vec(tree_hash(), 0..65), leaf in tree_hash(), whole in tree_hash(),
        index in any::<u64>(), size in any::<u64>(), small in 0u64..20,
    ) {
        for (index, size) in [(index, size), (size, index), (small, size), (index, small), (small, u64::MAX), (u64::MAX, u64::MAX)] {
            let inclusion = InclusionProof::new(hashes.clone()).expect("short");
            prop_assert!(!inclusion.proves(&leaf, index, size, &whole));
            let consistency = ConsistencyProof::new(hashes.clone()).expect("short");
            let holds = consistency.proves(&Tree { size: index, root: leaf }, &Tree { size, root: whole });
            prop_assert!(!holds);
        }
    }
}
