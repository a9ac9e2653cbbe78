use super::*;
use Toy::*;
use proptest::prelude::*;
use std::rc::Rc;

/// Terms share their elements, as those of a process do.
#[derive(Clone, Debug, PartialEq)]
enum Toy {
    Atom(&'static str),
    Binary(Rc<[u8]>),
    Fun,
    Tuple(Rc<[Toy]>),
    List(Rc<[Toy]>),
    Improper(Rc<[Toy]>),
    Map(Rc<[(Toy, Toy)]>),
    Rebuilt(Box<Toy>),
}

impl Toy {
    fn is_tag(&self, value: &Toy) -> bool {
        *self == Atom("__struct__") && matches!(value, Atom(_))
    }

    /// The term without the marks that tell which parts were made anew.
    fn plain(&self) -> Toy {
        let all = |toys: &[Toy]| toys.iter().map(Toy::plain).collect();
        match self {
            Rebuilt(toy) => toy.plain(),
            Tuple(toys) => Tuple(all(toys)),
            List(toys) => List(all(toys)),
            Map(entries) => Map(entries
                .iter()
                .map(|(k, v)| (k.clone(), v.plain()))
                .collect()),
            _ => self.clone(),
        }
    }
}

struct Toys;

impl Terms for Toys {
    type Term = Toy;

    fn shape(&self, toy: &Toy, elements: &mut Few<Toy>) -> Shape {
        match toy {
            Atom(_) => Shape::Plain,
            Binary(bytes) => Shape::Binary {
                size: bytes.len(),
                work: 0,
            },
            Tuple(toys) if elements.push_all(toys) => Shape::Tuple,
            List(toys) if elements.push_all(toys) => Shape::List,
            Map(entries) => {
                let mut untagged = entries.iter().filter(|(key, value)| !key.is_tag(value));
                if untagged.all(|(_, value)| elements.push(value.clone())) {
                    Shape::Map
                } else {
                    Shape::Other
                }
            }
            Tuple(_) | List(_) | Fun | Improper(_) => Shape::Other,
            Rebuilt(_) => panic!("a result was truncated again"),
        }
    }

    fn is_shutdown(&self, toy: &Toy) -> bool {
        *toy == Atom("shutdown")
    }

    fn truncated(&self) -> Toy {
        Atom("truncated")
    }

    fn shortened(&self, toy: &Toy, kept: usize) -> Toy {
        match toy {
            Binary(bytes) => Binary([&bytes[..kept], ELLIPSIS].concat().into()),
            _ => panic!("only binaries are shortened"),
        }
    }

    fn tuple(&self, elements: &[Toy]) -> Toy {
        Rebuilt(Box::new(tuple(elements.iter().cloned())))
    }

    fn list(&self, elements: &[Toy]) -> Toy {
        Rebuilt(Box::new(List(elements.into())))
    }

    fn with_values(&self, map: &Toy, values: &[Toy]) -> Toy {
        let Map(entries) = map else {
            panic!("only maps have values");
        };
        let mut entries = entries.to_vec();
        let untagged = entries.iter_mut().filter(|(key, value)| !key.is_tag(value));
        for (entry, value) in untagged.zip(values) {
            entry.1 = value.clone();
        }
        Rebuilt(Box::new(Map(entries.into())))
    }
}

fn limits(depth: usize, max_binary_size: usize) -> Limits {
    Limits {
        depth,
        max_binary_size,
    }
}

fn tuple(toys: impl IntoIterator<Item = Toy>) -> Toy {
    Tuple(toys.into_iter().collect())
}

fn binary(size: usize) -> Toy {
    Binary(vec![b'x'; size].into())
}

fn truncated(reason: &Toy, depth: usize, max_binary_size: usize) -> Toy {
    truncate(&Toys, reason, limits(depth, max_binary_size))
        .term
        .plain()
}

#[test]
fn a_binary_of_the_largest_size_passes_and_a_longer_one_becomes_that_long() {
    assert_eq!(truncated(&binary(10), 1, 10), binary(10));
    assert_eq!(
        truncated(&binary(11), 1, 10),
        Binary((*b"xxxxxxx...").into())
    );
    assert_eq!(truncated(&binary(11), 1, 3), Binary((*b"...").into()));
}

#[test]
fn a_size_without_room_for_the_ellipsis_keeps_nothing_of_the_binary() {
    assert_eq!(truncated(&binary(2), 1, 1), Binary((*b"...").into()));
}

#[test]
fn levels_are_counted_from_the_reason_itself() {
    let reason = tuple([Atom("a"), tuple([Atom("b"), tuple([Atom("c")])])]);
    let gone = Atom("truncated");
    assert_eq!(truncated(&reason, 0, 10), gone);
    assert_eq!(
        truncated(&reason, 1, 10),
        tuple([gone.clone(), gone.clone()])
    );
    assert_eq!(
        truncated(&reason, 2, 10),
        tuple([Atom("a"), tuple([gone.clone(), gone.clone()])])
    );
    assert_eq!(
        truncated(&reason, 3, 10),
        tuple([Atom("a"), tuple([Atom("b"), tuple([gone])])])
    );
    assert_eq!(truncated(&reason, 4, 10), reason);
}

#[test]
fn shutdown_passes_at_the_top_only() {
    let orderly = tuple([Atom("shutdown"), tuple(vec![Fun; 9])]);
    assert_eq!(truncated(&orderly, 3, 10), orderly);
    assert_eq!(truncated(&orderly, 0, 10), orderly);
    assert_eq!(
        truncated(&tuple([orderly]), 3, 10),
        tuple([tuple([Atom("shutdown"), Atom("truncated")])])
    );
    let triple = tuple([Atom("shutdown"), Fun, Fun]);
    assert_ne!(truncated(&triple, 3, 10), triple);
}

#[test]
fn what_need_not_change_is_returned_as_it_is() {
    let kept = tuple([Atom("a"), List([binary(10), tuple([])].into())]);
    let reason = tuple([kept.clone(), Fun]);
    let expected = Rebuilt(Box::new(tuple([kept.clone(), Atom("truncated")])));
    assert_eq!(truncate(&Toys, &reason, limits(5, 10)).term, expected);
    assert_eq!(truncate(&Toys, &kept, limits(5, 10)).term, kept);
}

#[test]
fn nesting_ends_at_the_deepest_level_that_is_ever_kept() {
    let nested = |levels| (0..levels).fold(Atom("core"), |inner, _| tuple([inner]));
    // The level of the innermost atom is the number of tuples around it.
    let deepest = nested(MAX_DEPTH - 1);
    assert_eq!(truncated(&deepest, usize::MAX, 10), deepest);
    let deeper = truncated(&nested(MAX_DEPTH), usize::MAX, 10);
    assert_ne!(deeper, nested(MAX_DEPTH));
    assert_eq!(truncated(&nested(MAX_DEPTH * 10), usize::MAX, 10), deeper);
}

#[test]
fn sharing_does_not_multiply_the_work() {
    let shared = (0..90).fold(Atom("core"), |inner, _| tuple(vec![inner; 4]));
    let outcome = truncate(&Toys, &shared, limits(usize::MAX, 10));
    assert_eq!(outcome.work, MAX_WORK);
}

#[test]
fn copying_counts_as_work() {
    let size = MAX_WORK / 2 * BYTES_PER_WORK;
    let Tuple(left) = truncated(&tuple(vec![binary(size + 1); 4]), 3, size) else {
        panic!("the tuple is kept");
    };
    let gone = left.iter().filter(|toy| **toy == Atom("truncated"));
    assert_eq!(gone.count(), 2);
}

#[test]
fn the_default_limits_leave_most_of_the_work_undone() {
    let widest = (0..2).fold(binary(2_000), |inner, _| tuple(vec![inner; 4]));
    assert!(truncate(&Toys, &widest, limits(3, 1_024)).work < MAX_WORK / 10);
}

#[test]
fn a_few_are_at_most_as_many_as_are_kept() {
    let mut few = Few::empty(&0);
    assert!(few.push_all(&[1, 2, 3]));
    assert!(!few.push_all(&[4, 5, 6, 7, 8]));
    assert!(few.push(4));
    assert!(!few.push(5));
    assert_eq!(*few, [1, 2, 3, 4]);
}

/// The rules once more, in the plainest way, whatever that costs.
fn model(toy: &Toy, levels: usize, max: usize) -> Toy {
    let all = |toys: &[Toy]| toys.iter().map(|toy| model(toy, levels - 1, max)).collect();
    match toy {
        _ if levels == 0 => Atom("truncated"),
        Atom(name) => Atom(name),
        Binary(bytes) if bytes.len() > max => {
            Binary(bytes.iter().copied().take(max - 3).chain(*b"...").collect())
        }
        Binary(_) => toy.clone(),
        Tuple(toys) if toys.len() < 5 => Tuple(all(toys)),
        List(toys) if toys.len() < 5 => List(all(toys)),
        Map(entries) => {
            let is_struct = entries.iter().any(|(key, value)| key.is_tag(value));
            if entries.len() - usize::from(is_struct) > 4 {
                return Atom("truncated");
            }
            let keep = |(key, value): &(Toy, Toy)| {
                let kept = if key.is_tag(value) {
                    value.clone()
                } else {
                    model(value, levels - 1, max)
                };
                (key.clone(), kept)
            };
            Map(entries.iter().map(keep).collect())
        }
        _ => Atom("truncated"),
    }
}

fn any_toy() -> impl Strategy<Value = Toy> {
    let atom = prop::sample::select(vec!["a", "shutdown", "truncated"]).prop_map(Atom);
    let bytes = prop::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![atom, bytes.prop_map(|b| Binary(b.into())), Just(Fun)];
    leaf.prop_recursive(6, 200, 6, |inner| {
        let toys = || prop::collection::vec(inner.clone(), 0..7);
        let keys = vec!["__struct__", "b", "c", "d", "e", "f", "g"];
        let keys = prop::sample::subsequence(keys, 0..7);
        prop_oneof![
            2 => toys().prop_map(|toys| Tuple(toys.into())),
            2 => toys().prop_map(|toys| List(toys.into())),
            1 => toys().prop_map(|toys| Improper(toys.into())),
            3 => (keys, prop::collection::vec(inner.clone(), 7)).prop_map(|(keys, values)| {
                Map(keys.into_iter().map(Atom).zip(values).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_the_model(toy in any_toy(), depth in 0..7usize, max in 3..12usize) {
        let expected = match &toy {
            Tuple(toys) if toys.len() == 2 && toys[0] == Atom("shutdown") => toy.clone(),
            _ => model(&toy, depth, max),
        };
        prop_assert_eq!(truncated(&toy, depth, max), expected);
    }

    #[test]
    fn is_a_fixed_point(toy in any_toy(), depth in 0..7usize, max in 3..12usize) {
        let once = truncated(&toy, depth, max);
        prop_assert_eq!(truncated(&once, depth, max), once);
    }
}
