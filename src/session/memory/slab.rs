//! Things that stay where they were put, and lists that run through them.
//!
//! A list is a first and a last slot, and each thing knows its neighbors. So one is taken out of
//! the middle at the same cost however many there are, and a place in a list costs eight bytes.

use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

/// Lists that a thing may be in at once.
const LISTS: usize = 2;

/// Where a thing is. They count from one, so that one that may be missing takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(NonZeroU32);

impl Slot {
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Why there is something in a slot.
const KNOWN: &str = "a slot is known as long as it is taken";

pub(crate) struct Slab<T> {
    nodes: Vec<Node<T>>,
    /// Slots that are free again.
    free: Vec<Slot>,
}

struct Node<T> {
    thing: Option<T>,
    neighbors: [Neighbors; LISTS],
}

#[derive(Clone, Copy)]
struct Neighbors {
    before: Option<Slot>,
    behind: Option<Slot>,
}

const ALONE: Neighbors = Neighbors { before: None, behind: None };

/// A list through a slab. A thing is in no more than one of each number.
pub(crate) struct List<const NUMBER: usize> {
    first: Option<Slot>,
    last: Option<Slot>,
}

impl<const NUMBER: usize> Default for List<NUMBER> {
    fn default() -> Self {
        List { first: None, last: None }
    }
}

impl<const NUMBER: usize> List<NUMBER> {
    pub(crate) fn first(&self) -> Option<Slot> {
        self.first
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { nodes: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn put(&mut self, thing: T) -> Slot {
        let node = Node { thing: Some(thing), neighbors: [ALONE; LISTS] };
        if let Some(slot) = self.free.pop() {
            *self.node(slot) = node;
            return slot;
        }
        self.nodes.push(node);
        let number = u32::try_from(self.nodes.len()).ok().and_then(NonZeroU32::new);
        Slot(number.expect("there is one at least, and no machine has room for 4 Gi"))
    }

    /// What is taken is to be in no list any more.
    pub(crate) fn take(&mut self, slot: Slot) -> T {
        let thing = self.node(slot).thing.take().expect(KNOWN);
        self.free.push(slot);
        thing
    }

    /// Puts a thing at the end of a list.
    pub(crate) fn append<const NUMBER: usize>(
        &mut self,
        list: &mut List<NUMBER>,
        slot: Slot,
    ) {
        let before = list.last.replace(slot);
        self.node(slot).neighbors[NUMBER] = Neighbors { before, behind: None };
        match before {
            None => list.first = Some(slot),
            Some(before) => self.node(before).neighbors[NUMBER].behind = Some(slot),
        }
    }

    /// Takes a thing out of the list that it is in.
    pub(crate) fn unlink<const NUMBER: usize>(
        &mut self,
        list: &mut List<NUMBER>,
        slot: Slot,
    ) {
        let alone = &mut self.node(slot).neighbors[NUMBER];
        let Neighbors { before, behind } = std::mem::replace(alone, ALONE);
        match before {
            None => list.first = behind,
            Some(before) => self.node(before).neighbors[NUMBER].behind = behind,
        }
        match behind {
            None => list.last = before,
            Some(behind) => self.node(behind).neighbors[NUMBER].before = before,
        }
    }

    /// What comes behind a thing in a list.
    pub(crate) fn behind<const NUMBER: usize>(
        &self,
        _list: &List<NUMBER>,
        slot: Slot,
    ) -> Option<Slot> {
        self.nodes[slot.index()].neighbors[NUMBER].behind
    }

    fn node(&mut self, slot: Slot) -> &mut Node<T> {
        &mut self.nodes[slot.index()]
    }
}

impl<T> Index<Slot> for Slab<T> {
    type Output = T;

    fn index(&self, slot: Slot) -> &T {
        self.nodes[slot.index()].thing.as_ref().expect(KNOWN)
    }
}

impl<T> IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        self.node(slot).thing.as_mut().expect(KNOWN)
    }
}
