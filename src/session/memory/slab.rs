//! Things that stay where they were put, and lists that run through them.
//!
//! A list is a first and a last slot, and each thing knows its neighbors. So one is taken out of
//! the middle at the same cost however many there are, and a place in a list costs eight octets.

use std::ops::{Index, IndexMut};

/// Lists that a thing may be in at once.
const LISTS: usize = 2;

/// Where a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// Why there is something in a slot.
const KNOWN: &str = "a slot is known as long as it is taken";

/// Where nothing is.
const NOWHERE: Slot = Slot(u32::MAX);

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
    before: Slot,
    behind: Slot,
}

const ALONE: Neighbors = Neighbors { before: NOWHERE, behind: NOWHERE };

/// A list through a slab. A thing is in no more than one of each number.
pub(crate) struct List<const NUMBER: usize> {
    first: Slot,
    last: Slot,
}

impl<const NUMBER: usize> Default for List<NUMBER> {
    fn default() -> Self {
        List { first: NOWHERE, last: NOWHERE }
    }
}

impl<const NUMBER: usize> List<NUMBER> {
    pub(crate) fn first(&self) -> Option<Slot> {
        (self.first != NOWHERE).then_some(self.first)
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
        let slot =
            Slot(u32::try_from(self.nodes.len()).expect("no machine has room for them"));
        self.nodes.push(node);
        slot
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
        let before = std::mem::replace(&mut list.last, slot);
        self.node(slot).neighbors[NUMBER] = Neighbors { before, behind: NOWHERE };
        match before {
            NOWHERE => list.first = slot,
            before => self.node(before).neighbors[NUMBER].behind = slot,
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
            NOWHERE => list.first = behind,
            before => self.node(before).neighbors[NUMBER].behind = behind,
        }
        match behind {
            NOWHERE => list.last = before,
            behind => self.node(behind).neighbors[NUMBER].before = before,
        }
    }

    /// What comes behind a thing in a list.
    pub(crate) fn behind<const NUMBER: usize>(
        &self,
        _list: &List<NUMBER>,
        slot: Slot,
    ) -> Option<Slot> {
        let behind = self.nodes[slot.0 as usize].neighbors[NUMBER].behind;
        (behind != NOWHERE).then_some(behind)
    }

    fn node(&mut self, slot: Slot) -> &mut Node<T> {
        &mut self.nodes[slot.0 as usize]
    }
}

impl<T> Index<Slot> for Slab<T> {
    type Output = T;

    fn index(&self, slot: Slot) -> &T {
        self.nodes[slot.0 as usize].thing.as_ref().expect(KNOWN)
    }
}

impl<T> IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        self.node(slot).thing.as_mut().expect(KNOWN)
    }
}
