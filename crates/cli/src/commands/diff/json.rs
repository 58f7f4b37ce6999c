//! The diff as lines of JSON; the help text says what is in them.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use memdump_image::{Cause, Region};
use memdump_inspect::diff::{Change, Pages, Report, Row};
use serde_json::{Value, json};

use super::shower::{Shower, Sides};
use super::text::{kinds, state};
use crate::pager::Listing;

pub(super) struct Lines;

impl Shower for Lines {
    fn change(&mut self, _: &Sides, change: Change<'_>, out: &mut Listing) -> io::Result<()> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let Change { a, b, old, new } = change;
        let object = json!({ "change": { "a": a, "b": b, "old": hex(old), "new": hex(new) }});
        writeln!(out, "{object}")
    }

    fn report(&mut self, sides: &Sides, report: &Report, out: &mut Listing) -> io::Result<()> {
        for row in report.rows.iter().filter(|row| row.differs()) {
            writeln!(out, "{}", region(row))?;
        }
        for (kind, all) in kinds(report) {
            writeln!(
                out,
                "{}",
                json!({ "kind": with_pages(json!({ "kind": kind.name() }), &all) })
            )?;
        }
        let pages = report.pages();
        let summary = json!({
            "a": sides.name_a,
            "b": sides.name_b,
            "differ": report.differs(),
            // Neither side has as much memory as would not fit.
            "growth": i64::try_from(pages.growth()).unwrap_or_default(),
            "unread_a": by_cause(&report.holes_a),
            "unread_b": by_cause(&report.holes_b),
        });
        writeln!(out, "{}", json!({ "summary": with_pages(summary, &pages) }))
    }
}

fn region(row: &Row) -> Value {
    let place = |region: &Option<Region>| {
        region.as_ref().map(|region| {
            json!({
                "start": region.extent.start(),
                "end": region.extent.end(),
                "permissions": region.mapping.as_ref().map(|m| m.permissions.to_string()),
            })
        })
    };
    let object = json!({
        "kind": row.kind().name(),
        "label": row.b.as_ref().or(row.a.as_ref()).map(|region| &region.label),
        "state": state(row),
        "a": place(&row.a),
        "b": place(&row.b),
        "mapped": row.mapped,
        "unmapped": row.unmapped,
    });
    json!({ "region": with_pages(object, &row.pages) })
}

fn with_pages(mut object: Value, pages: &Pages) -> Value {
    object["same"] = pages.same.into();
    object["changed"] = pages.changed.into();
    object["added"] = pages.added.into();
    object["gone"] = pages.gone.into();
    object["unread"] = pages.unread.into();
    object["changed_bytes"] = pages.changed_bytes.into();
    object
}

fn by_cause(holes: &BTreeMap<Cause, u64>) -> HashMap<&'static str, u64> {
    holes.iter().map(|(cause, bytes)| (cause.name(), *bytes)).collect()
}
