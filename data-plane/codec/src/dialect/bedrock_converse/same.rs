//! From this dialect to itself: never, since no client speaks it. What is here passes nothing on, so that a mistake
//! elsewhere can never look like a good answer.

use bytes::Bytes;

use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::dialect::{Pass, Same};
use crate::drive::{self, StreamEnd};
use crate::error::{BodyFault, Error};
use crate::patch::Segments;
use crate::receipt::Pricer;
use crate::scan::Scan;
use crate::tap::Tap;

#[derive(Debug)]
pub(super) struct Unspoken;

impl Same for Unspoken {
    fn request(&self, body: &Bytes, _: &Scan, _: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
        Ok(Segments::from(body.clone()).into())
    }

    fn stream(&self, _: &AnswerEdits) -> Box<dyn Pass> {
        Box::<Nothing>::default()
    }

    fn whole(&self, _: Bytes, _: &AnswerEdits, _: &mut dyn Pricer) -> Result<Whole, Error> {
        Err(Error::AnswerNotJson)
    }
}

/// A stream of which nothing is read.
#[derive(Debug, Default)]
struct Nothing(Tap);

impl Pass for Nothing {
    fn push(&mut self, _: Bytes, _: &mut dyn Pricer) -> Bytes {
        Bytes::new()
    }

    fn tap(&self) -> &Tap {
        &self.0
    }

    fn is_open(&self) -> bool {
        false
    }

    fn end(&mut self, _: &mut dyn Pricer) -> (Bytes, StreamEnd) {
        (Bytes::new(), drive::judge(&self.0, false))
    }
}
