//! When each session is to be looked at next: a list for each second of the next few minutes.
//!
//! To enter one, to strike one out, and to find one that is due costs the same however many there
//! are. A session that is used is not moved: when its second comes it is looked at, and entered
//! anew if its time is not up. One that has longer than the calendar is entered on its last page.

use crate::session::memory::clock::Millis;
use crate::session::memory::slab::{List, Slab, Slot};

/// Seconds in the calendar.
const SECONDS: u64 = 512;

/// The number of the lists that it is made of.
const NUMBER: usize = 1;

/// A second since the store was made.
type Second = u64;

/// The number of a page: the remainder of its second.
pub(crate) type Page = u16;

pub(crate) struct Calendar {
    pages: Box<[List<NUMBER>]>,
    /// The first second that may have something left. Whatever is entered is so for this or
    /// for one of the few hundred behind it, so that no page has two seconds.
    today: Second,
}

impl Default for Calendar {
    fn default() -> Calendar {
        Calendar { pages: (0..SECONDS).map(|_| List::default()).collect(), today: 0 }
    }
}

impl Calendar {
    /// Enters what is to be looked at once `time` has passed; gives the page on which it did.
    pub(crate) fn enter<T>(
        &mut self,
        slab: &mut Slab<T>,
        slot: Slot,
        time: Millis,
    ) -> Page {
        let page = page_of((time / 1000 + 1).clamp(self.today, self.today + SECONDS - 1));
        slab.append(self.list(page), slot);
        page
    }

    /// Strikes out what was entered on a page.
    pub(crate) fn strike_out<T>(&mut self, slab: &mut Slab<T>, slot: Slot, page: Page) {
        slab.unlink(self.list(page), slot);
    }

    /// What there is to do now. A page with nothing left is turned.
    pub(crate) fn due(&mut self, now: Millis) -> Due {
        if self.today * 1000 > now {
            return Due::Nothing;
        }
        match self.list(page_of(self.today)).first() {
            Some(slot) => Due::Look(slot),
            None => {
                self.today += 1;
                Due::PageTurned
            }
        }
    }

    fn list(&mut self, page: Page) -> &mut List<NUMBER> {
        &mut self.pages[usize::from(page)]
    }
}

/// The page of a second. It fits, for it is less than the number of pages.
fn page_of(second: Second) -> Page {
    Page::try_from(second % SECONDS).unwrap_or_default()
}

/// What the calendar says.
pub(crate) enum Due {
    /// Look at this. Once it is struck out, there may be more.
    Look(Slot),
    /// There is nothing left for a second that is over.
    PageTurned,
    /// There is nothing left until now.
    Nothing,
}
