//! Who waits in front of a scarce upstream, and who is next. Three classes share its turns by fixed parts; within a class
//! organisations take turns by what their requests cost, so that a crowd of one makes nobody else wait longer.
//! Pure: no clock, no waker. Never larger than its bounds. Next room: `fair`, which lets people wait.

use std::collections::{BTreeMap, HashMap};

use domain::ids::OrgId;

/// Most requests of one organisation that wait at a time, and of all.
const ORG_MOST: usize = 64;
const MOST: usize = 4_096;
/// Costs are counted in parts of this, so that classes with a larger part pay less for the same.
const UNIT: u64 = 1_000;

/// How urgent an organisation's requests are, as its plan says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    High,
    Normal,
    Low,
}

impl Class {
    /// Parts of the turns that a class gets while all of them wait; what one does not use the others share.
    fn part(self) -> u64 {
        match self {
            Class::High => 6,
            Class::Normal => 3,
            Class::Low => 1,
        }
    }

    /// The class of a plan: by its name, `high`, `low` or else normal, also as the end of it (`enterprise-high`).
    pub fn of_plan(plan: &str) -> Class {
        match plan.rsplit('-').next() {
            Some("high") => Class::High,
            Some("low") => Class::Low,
            _ => Class::Normal,
        }
    }
}

/// One who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    class: usize,
    start: u64,
    number: u64,
}

/// There is no room for one more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// Of this organisation, and not of the whole line.
    pub of_org: bool,
}

/// All who wait.
pub(crate) struct Line {
    rows: [Row; 3],
    /// How far the classes have come; one that was empty begins here.
    now: u64,
    number: u64,
    waiting: usize,
}

/// One class.
struct Row {
    part: u64,
    /// What its turns have cost so far, by its part.
    paid: u64,
    waiting: BTreeMap<Place, OrgId>,
    orgs: HashMap<OrgId, Share>,
    /// How far its organisations have come.
    now: u64,
}

/// What an organisation has of a class.
#[derive(Default)]
struct Share {
    /// Where its next request begins, counted in cost.
    next: u64,
    waiting: usize,
}

impl Line {
    pub fn new() -> Line {
        let row =
            |class: Class| Row { part: class.part(), paid: 0, waiting: BTreeMap::new(), orgs: HashMap::new(), now: 0 };
        Line { rows: [Class::High, Class::Normal, Class::Low].map(row), now: 0, number: 0, waiting: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Another one waits. `cost` is what its turn is thought to use, in any unit that is the same for all.
    pub fn enter(&mut self, org: OrgId, class: Class, cost: u64) -> Result<Place, Full> {
        if self.waiting >= MOST {
            return Err(Full { of_org: false });
        }
        let (place, now) = (class as usize, self.now);
        let Some(row) = self.rows.get_mut(place) else { return Err(Full { of_org: false }) };
        if row.waiting.is_empty() {
            row.paid = row.paid.max(now);
        }
        let share = row.orgs.entry(org).or_default();
        if share.waiting >= ORG_MOST {
            return Err(Full { of_org: true });
        }
        let start = share.next.max(row.now);
        share.next = start.saturating_add(cost.max(1));
        share.waiting += 1;
        self.number += 1;
        self.waiting += 1;
        let place = Place { class: place, start, number: self.number };
        row.waiting.insert(place, org);
        Ok(place)
    }

    /// Whose turn it is; no longer in the line then. The turn is paid by what `enter` was told.
    pub fn next(&mut self) -> Option<Place> {
        let row = self.rows.iter_mut().filter(|row| !row.waiting.is_empty()).min_by_key(|row| row.paid)?;
        self.now = row.paid;
        let (place, org) = row.waiting.pop_first()?;
        row.now = place.start;
        row.paid = row.paid.saturating_add(UNIT / row.part);
        row.forget(org);
        self.waiting -= 1;
        Some(place)
    }

    /// One who waited has gone; false when it was not in the line any more.
    pub fn leave(&mut self, place: Place) -> bool {
        let Some(row) = self.rows.get_mut(place.class) else { return false };
        let Some(org) = row.waiting.remove(&place) else { return false };
        row.forget(org);
        self.waiting -= 1;
        true
    }
}

impl Row {
    /// One of this organisation waits no more. Once nobody waits, nothing is owed.
    fn forget(&mut self, org: OrgId) {
        if let Some(share) = self.orgs.get_mut(&org) {
            share.waiting = share.waiting.saturating_sub(1);
        }
        if self.waiting.is_empty() {
            self.orgs.clear();
        } else if self.orgs.len() > MOST {
            let now = self.now;
            self.orgs.retain(|_, share| share.waiting > 0 || share.next > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn org(number: u8) -> OrgId {
        OrgId::new(1, u128::from(number))
    }

    fn fill(line: &mut Line, number: u8, class: Class, count: usize) -> Vec<Place> {
        (0..count).map(|_| line.enter(org(number), class, 10).unwrap()).collect()
    }

    #[test]
    fn who_comes_once_waits_for_one_of_a_crowd() {
        let mut line = Line::new();
        fill(&mut line, 1, Class::Normal, ORG_MOST);
        line.next();
        let late = line.enter(org(2), Class::Normal, 10).unwrap();
        let turn = (0..).find(|_| line.next() == Some(late)).unwrap();
        assert!(turn <= 1, "after {turn} others");
    }

    #[test]
    fn an_organisation_is_served_in_its_order() {
        let mut line = Line::new();
        let places = fill(&mut line, 1, Class::High, 5);
        assert_eq!(places.iter().map(|_| line.next().unwrap()).collect::<Vec<_>>(), places);
        assert!(line.is_empty() && line.next().is_none());
    }

    #[test]
    fn each_class_has_its_part_and_takes_what_others_leave() {
        let mut line = Line::new();
        for (number, class) in [(1, Class::High), (2, Class::Normal), (3, Class::Low)] {
            fill(&mut line, number, class, 60);
        }
        let first: Vec<usize> = (0..50).map(|_| line.next().unwrap().class).collect();
        let of = |class: Class| first.iter().filter(|served| **served == class as usize).count();
        assert_eq!((of(Class::High), of(Class::Normal), of(Class::Low)), (30, 15, 5));
        let rest: Vec<usize> = std::iter::from_fn(|| line.next()).map(|place| place.class).collect();
        assert_eq!(rest.len(), 130, "nobody is forgotten");
    }

    #[test]
    fn a_class_that_was_away_saves_nothing_up() {
        let mut line = Line::new();
        fill(&mut line, 1, Class::High, 60);
        assert_eq!((0..50).filter_map(|_| line.next()).count(), 50);
        fill(&mut line, 2, Class::Low, 20);
        let next: Vec<usize> = (0..8).map(|_| line.next().unwrap().class).collect();
        assert!(next.iter().filter(|class| **class == Class::Low as usize).count() <= 2, "{next:?}");
    }

    #[test]
    fn a_crowd_is_turned_away_and_others_are_not() {
        let mut line = Line::new();
        fill(&mut line, 1, Class::Normal, ORG_MOST);
        assert_eq!(line.enter(org(1), Class::Normal, 1), Err(Full { of_org: true }));
        assert!(line.enter(org(2), Class::Normal, 1).is_ok());
    }

    #[test]
    fn plans_say_their_class() {
        for (plan, class) in [
            ("standard", Class::Normal),
            ("high", Class::High),
            ("enterprise-high", Class::High),
            ("free-low", Class::Low),
            ("highland", Class::Normal),
        ] {
            assert_eq!(Class::of_plan(plan), class, "{plan}");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter(u8, u64),
        Next,
        Leave(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u8..5, 1u64..100).prop_map(|(org, cost)| Step::Enter(org, cost)),
            Just(Step::Next),
            (0usize..100).prop_map(Step::Leave),
        ]
    }

    proptest! {
        /// Nobody is lost, doubled or kept after leaving, and nothing is remembered of those who are served.
        #[test]
        fn everybody_who_stays_is_served_once(steps in prop::collection::vec(step(), 0..200)) {
            let mut line = Line::new();
            let mut waiting: Vec<Place> = Vec::new();
            for step in steps {
                match step {
                    Step::Enter(number, cost) => {
                        let class = [Class::High, Class::Normal, Class::Low][usize::from(number) % 3];
                        waiting.extend(line.enter(org(number), class, cost).ok());
                    }
                    Step::Next => {
                        let served = line.next();
                        prop_assert_eq!(served.is_some(), !waiting.is_empty());
                        if let Some(served) = served {
                            prop_assert!(waiting.contains(&served));
                            waiting.retain(|place| *place != served);
                        }
                    }
                    Step::Leave(at) if !waiting.is_empty() => {
                        let gone = waiting.remove(at % waiting.len());
                        prop_assert!(line.leave(gone));
                        prop_assert!(!line.leave(gone));
                    }
                    Step::Leave(_) => {}
                }
                prop_assert_eq!(line.len(), waiting.len());
            }
        }

        /// While two organisations wait, what they were served differs by less than two of the largest requests.
        #[test]
        fn who_waits_is_served_as_much_as_others(costs in prop::collection::vec((1u64..100, 1u64..100), 60)) {
            let mut line = Line::new();
            let mut cost_of = HashMap::new();
            for (one, other) in costs {
                for (number, cost) in [(1, one), (2, other)] {
                    cost_of.insert(line.enter(org(number), Class::Normal, cost).unwrap(), (number, cost));
                }
            }
            let (mut served, mut left) = ([0u64; 2], [60usize; 2]);
            while let Some(place) = line.next() {
                let (number, cost) = cost_of[&place];
                served[usize::from(number - 1)] += cost;
                left[usize::from(number - 1)] -= 1;
                if left.iter().all(|left| *left > 0) {
                    prop_assert!(served[0].abs_diff(served[1]) < 200, "{:?}", served);
                }
            }
        }
    }
}
