//! The names under which existing dashboards and rules look for what the gateway counts by names of its own. They are
//! made from the other families when somebody scrapes, so a request pays nothing for them.

use std::collections::BTreeMap;

use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

use super::family::{Family, Kind};
use crate::a2a::Operation;

/// A family that is made from others.
#[derive(Debug)]
pub struct Alias {
    /// As it is shown.
    pub family: Family,
    /// For each of its labels, the label of the source whose value it has.
    takes: &'static [&'static str],
    /// The families it is made from, and which of their series.
    from: &'static [(&'static str, Pick)],
    how: How,
}

/// Whether a series counts.
type Pick = fn(&Metric) -> bool;

/// What is made of the series that fall together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Their sum.
    Sum,
    /// The first source in percent of the second.
    Percent,
    /// 1 while each series of the first source is above zero and none of the second is, else 0.
    Well,
}

/// A value in the making.
#[derive(Clone, Debug, Default)]
struct Value {
    number: f64,
    /// Upper bounds with the cumulative counts.
    buckets: Vec<(f64, u64)>,
    count: u64,
}

const fn family(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind, labels, help, only: None }
}

/// What the series had come to that went with their objects: a sum over all routes must not go back when one of them
/// is removed. Bounded, because the labels of these sums are words of the gateway.
#[derive(Debug, Default)]
pub(super) struct Gone(BTreeMap<&'static str, Values>);

/// Values by those of the labels.
type Values = BTreeMap<Vec<String>, Value>;

impl Gone {
    /// Keeps what series had come to that are dropped.
    pub(super) fn note(&mut self, dropped: &[MetricFamily]) {
        for alias in ALIASES.iter().filter(|alias| alias.outlives_objects()) {
            let kept = self.0.entry(alias.family.name).or_default();
            for (labels, value) in alias.values(dropped) {
                kept.entry(labels).or_default().add(&value);
            }
        }
    }
}

/// Every alias, in the order of the documentation.
pub static ALIASES: &[Alias] = &[
    Alias {
        family: family(
            "a2a_messages_total",
            Kind::Counter,
            &["method", "status"],
            "Finished calls of agents: a2a_requests_total by method and outcome, which is called status here.",
        ),
        takes: &["method", "outcome"],
        from: &[("a2a_requests_total", every)],
        how: How::Sum,
    },
    Alias {
        family: family(
            "a2a_messages_received_total",
            Kind::Counter,
            &["message_type"],
            "Calls of agents that clients sent here, counted when they are over; message_type is the method.",
        ),
        takes: &["method"],
        from: &[("a2a_requests_total", every)],
        how: How::Sum,
    },
    Alias {
        family: family(
            "a2a_messages_sent_total",
            Kind::Counter,
            &["message_type", "recipient"],
            "Those of them that the gateway did not refuse, so that they went on to an agent; recipient is the route.",
        ),
        takes: &["method", "route"],
        from: &[("a2a_requests_total", is_sent)],
        how: How::Sum,
    },
    Alias {
        family: family(
            "a2a_message_latency_seconds",
            Kind::Histogram,
            &["message_type"],
            "Time to an answer by method: of a stream to its first event, of other calls to the end of the answer.",
        ),
        takes: &["method"],
        from: ANSWERED,
        how: How::Sum,
    },
    Alias {
        family: family("a2a_response_time_seconds", Kind::Histogram, &[], "The same over all methods."),
        takes: &[],
        from: ANSWERED,
        how: How::Sum,
    },
    Alias {
        family: family(
            "errors_total",
            Kind::Counter,
            &["reason"],
            "The same as attache_errors_total without route and cluster, under the name existing dashboards use.",
        ),
        takes: &["reason"],
        from: &[("attache_errors_total", every)],
        how: How::Sum,
    },
    Alias {
        family: family("a2a_tasks_total", Kind::Counter, &[], "Tasks that calls began, over all routes."),
        takes: &[],
        from: &[("attache_a2a_tasks_begun_total", every)],
        how: How::Sum,
    },
    Alias {
        family: family(
            "active_workflows",
            Kind::Gauge,
            &[],
            "Tasks in progress: the sum of a2a_active_tasks, for the autoscaler of Kubernetes.",
        ),
        takes: &[],
        from: &[("a2a_active_tasks", every)],
        how: How::Sum,
    },
    Alias {
        family: family(
            "workflow_executions_total",
            Kind::Counter,
            &["status"],
            "Tasks whose end an answer told of, by their last state: completed, failed, canceled or rejected.",
        ),
        takes: &["state"],
        from: &[("attache_a2a_tasks_ended_total", every)],
        how: How::Sum,
    },
    Alias {
        family: family(
            "workflow_duration_seconds",
            Kind::Histogram,
            &[],
            "How long these tasks took: attache_a2a_task_duration_seconds over all routes and states.",
        ),
        takes: &[],
        from: &[("attache_a2a_task_duration_seconds", every)],
        how: How::Sum,
    },
    Alias {
        family: family(
            "agent_discovery_requests_total",
            Kind::Counter,
            &["status"],
            "Calls for agent cards, public and extended, by outcome.",
        ),
        takes: &["outcome"],
        from: &[("a2a_requests_total", is_for_card)],
        how: How::Sum,
    },
    Alias {
        family: family(
            "a2a_agent_availability",
            Kind::Gauge,
            &["agent_id"],
            "Usable endpoints of a cluster in percent of all it has; agent_id is the cluster.",
        ),
        takes: &["cluster"],
        from: &[("attache_endpoints_usable", every), ("attache_endpoints", every)],
        how: How::Percent,
    },
    Alias {
        family: family(
            "a2a_system_health",
            Kind::Gauge,
            &[],
            "1 while every cluster has a usable endpoint and the gateway is not shutting down, else 0.",
        ),
        takes: &[],
        from: &[("attache_endpoints_usable", every), ("attache_draining", every)],
        how: How::Well,
    },
    Alias {
        family: family("a2a_memory_usage_bytes", Kind::Gauge, &[], "The same as memory_usage_bytes."),
        takes: &[],
        from: &[("memory_usage_bytes", every)],
        how: How::Sum,
    },
    Alias {
        family: family("a2a_cpu_usage_percent", Kind::Gauge, &[], "The same as cpu_usage_percent."),
        takes: &[],
        from: &[("cpu_usage_percent", every)],
        how: How::Sum,
    },
];

/// Names that dashboards for agents have and a gateway cannot give, with the reason.
pub static ABSENT: &[(&str, &str)] = &[
    ("mcp_tool_calls_total", "A call of a tool is between an agent and its tools; the gateway does not read MCP."),
    ("mcp_tool_duration_seconds", "As mcp_tool_calls_total."),
    ("customer_satisfaction_score", "Only the business knows."),
    ("issue_resolution_time_seconds", "Only the business knows; how long tasks take is workflow_duration_seconds."),
    ("agent_info", "It tells the version of an agent; that of the gateway is in attache_build_info."),
    ("kube_", "Given by kube-state-metrics."),
    ("kubelet_", "Given by the kubelet."),
    ("up", "Given by Prometheus itself, for each target it scrapes."),
];

/// How long callers wait for something.
const ANSWERED: &[(&str, Pick)] =
    &[("a2a_request_duration_seconds", is_unary), ("attache_a2a_first_event_seconds", every)];

/// Adds the aliases to what was gathered, in the order of names.
pub(super) fn add(gathered: &mut Vec<MetricFamily>, gone: &Gone) {
    let shown: Vec<_> = ALIASES.iter().filter_map(|alias| alias.show(gathered, gone)).collect();
    gathered.extend(shown);
    gathered.sort_by(|one, other| one.name().cmp(other.name()));
}

impl Alias {
    /// The family; `None` where nothing was counted for it.
    fn show(&self, gathered: &[MetricFamily], gone: &Gone) -> Option<MetricFamily> {
        let mut values = self.values(gathered);
        for (labels, value) in gone.0.get(self.family.name).into_iter().flatten() {
            values.entry(labels.clone()).or_default().add(value);
        }
        if self.takes.is_empty() && self.family.kind != Kind::Histogram {
            // An alert or an autoscaler wants a zero rather than nothing.
            values.entry(Vec::new()).or_default();
        }
        let metrics: Vec<_> = values.into_iter().map(|(labels, value)| self.metric(labels, value)).collect();
        let mut family = MetricFamily::default();
        family.set_name(self.family.name.to_owned());
        family.set_help(self.family.help.to_owned());
        family.set_field_type(match self.family.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        let is_empty = metrics.is_empty();
        family.set_metric(metrics);
        (!is_empty).then_some(family)
    }

    /// Whether it is a sum over objects that may go. With an object among its labels, its series go with that.
    fn outlives_objects(&self) -> bool {
        let names_object = self.takes.iter().any(|label| self.family.object(label).is_some());
        self.family.kind != Kind::Gauge && !names_object
    }

    fn values(&self, gathered: &[MetricFamily]) -> Values {
        let sums: Vec<_> = self.from.iter().map(|source| self.sums(source, gathered)).collect();
        match (self.how, sums.as_slice()) {
            (How::Percent, [parts, wholes]) => {
                let percent = |(labels, whole): (&Vec<String>, &Value)| {
                    let part = parts.get(labels).filter(|_| whole.number > 0.0)?;
                    Some((labels.clone(), Value { number: part.number / whole.number * 100.0, ..Value::default() }))
                };
                wholes.iter().filter_map(percent).collect()
            }
            (How::Well, _) => {
                let numbers = |at: usize| {
                    let name = self.from.get(at).map_or("", |source| source.0);
                    series(name, gathered).map(|metric| metric.get_gauge().get_value())
                };
                let is_well = numbers(0).all(|usable| usable > 0.0) && numbers(1).all(|draining| draining <= 0.0);
                BTreeMap::from([(Vec::new(), Value { number: f64::from(u8::from(is_well)), ..Value::default() })])
            }
            _ => {
                let mut all = Values::new();
                for (labels, value) in sums.into_iter().flatten() {
                    all.entry(labels).or_default().add(&value);
                }
                all
            }
        }
    }

    /// What the series of one source come to.
    fn sums(&self, (name, pick): &(&str, Pick), gathered: &[MetricFamily]) -> Values {
        let mut sums = Values::new();
        for metric in series(name, gathered).filter(|metric| pick(metric)) {
            let labels = self.takes.iter().map(|name| label(metric, name).to_owned()).collect();
            sums.entry(labels).or_default().add(&Value::of(metric, self.family.kind));
        }
        sums
    }

    fn metric(&self, labels: Vec<String>, value: Value) -> Metric {
        let pairs = self.family.labels.iter().zip(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value);
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        match self.family.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value.number);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value.number);
                metric.set_gauge(gauge);
            }
            Kind::Histogram => metric.set_histogram(value.histogram()),
        }
        metric
    }
}

impl Value {
    fn of(metric: &Metric, kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self { number: metric.get_counter().get_value(), ..Self::default() },
            Kind::Gauge => Self { number: metric.get_gauge().get_value(), ..Self::default() },
            Kind::Histogram => {
                let times = metric.get_histogram();
                let buckets = times.get_bucket().iter().map(|one| (one.upper_bound(), one.cumulative_count()));
                let (number, count) = (times.get_sample_sum(), times.get_sample_count());
                Self { number, buckets: buckets.collect(), count }
            }
        }
    }

    /// Histograms that are added have the same buckets.
    fn add(&mut self, other: &Self) {
        self.number += other.number;
        self.count += other.count;
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
        } else {
            self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, (_, count))| sum.1 += count);
        }
    }

    fn histogram(self) -> proto::Histogram {
        let buckets = self.buckets.into_iter().map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut shown = proto::Histogram::default();
        shown.set_bucket(buckets.collect());
        shown.set_sample_count(self.count);
        shown.set_sample_sum(self.number);
        shown
    }
}

fn series<'g>(name: &str, gathered: &'g [MetricFamily]) -> impl Iterator<Item = &'g Metric> {
    gathered.iter().filter(move |family| family.name() == name).flat_map(MetricFamily::get_metric)
}

fn label<'m>(metric: &'m Metric, name: &str) -> &'m str {
    metric.get_label().iter().find(|pair| pair.name() == name).map_or("", LabelPair::value)
}

fn every(_: &Metric) -> bool {
    true
}

fn is_sent(call: &Metric) -> bool {
    label(call, "outcome") != "refused"
}

fn is_unary(call: &Metric) -> bool {
    let method = label(call, "method");
    ![Operation::SendStreamingMessage, Operation::SubscribeToTask].iter().any(|stream| stream.name() == method)
}

fn is_for_card(call: &Metric) -> bool {
    let method = label(call, "method");
    [Operation::GetAgentCard, Operation::GetExtendedAgentCard].iter().any(|card| card.name() == method)
}

#[cfg(test)]
mod tests;
