//! `DefaultBinder`: posts a Binding (upstream `plugins/defaultbinder`; reference 3.21).

use headroom_core::{Str, intent::Op};

use crate::framework::{BindCx, Plugin, PodInfo, Point, Points, Status, Step};

/// The plugin.
#[derive(Debug)]
pub struct DefaultBinder;

impl Plugin for DefaultBinder {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "DefaultBinder"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::Bind])
    }

    fn bind(&mut self, cx: &mut BindCx<'_>, pod: &PodInfo, node: &Str) -> Step {
        match cx.outcome.map(|o| &o.result) {
            None => {
                let meta = &pod.pod.meta;
                cx.emit(Op::Bind { pod: meta.key.clone(), uid: meta.uid.clone(), node: node.clone() });
                Step::Wait(None)
            }
            Some(Ok(_)) => Step::Done(Status::SUCCESS),
            Some(Err(error)) => Step::Done(Status::error(error.to_string())),
        }
    }
}
