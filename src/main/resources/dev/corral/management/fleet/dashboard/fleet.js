// Adds up the samples over the fleet and computes rates. It uses neither the page nor the clock, so the same samples always give
// the same numbers.

const OUTCOMES = ['hit', 'stale', 'collapsed', 'miss', 'bypass', 'pass', 'failed', 'rejected', 'client_closed'];
const COUNTS = ['fetches', 'fills', 'fenced', 'takeovers', 'waits', 'waitMillis'];
// Milliseconds. A replica knows the fleet's purges within a second; half a second more for a late report.
const LATE = 1_500;
const KEPT = 300_000;
const KEYS_KEPT = 30_000;

/** The last five minutes of the fleet. */
export class Fleet {
  points = [];
  purges = [];
  latest = null;
  #last = new Map();
  #sums = sumsOf(() => 0);
  #each = new Map();

  /** Adds the next sample. A sample that is not newer than the last one, as after a new connection, is ignored. */
  add(sample) {
    const time = Date.parse(sample.time);
    const before = this.points.at(-1);
    if (before && time <= before.time) {
      return;
    }
    for (const replica of sample.replicas) {
      this.#count(replica, before, time);
    }
    this.#forget(time);
    this.latest = sample;
    const live = sample.replicas.filter(replica => replica.live);
    this.points.push({
      time,
      sums: {...this.#sums},
      each: new Map(this.#each),
      p50: sample.fleet.p50Millis,
      p99: sample.fleet.p99Millis,
      flights: sum(live, 'flights'),
      waiters: sum(live, 'waiters'),
      top: topOf(live),
    });
    while (this.points[0].time < time - KEPT) {
      this.points.shift();
    }
    this.#remember(sample.purges ?? [], time);
  }

  /**
   * A replica counts from its start. After a restart it begins at zero again. The counts of a replica that appears now but started
   * earlier belong to the time before this page was open, and are ignored.
   */
  #count(replica, before, time) {
    const now = sumsOf(name => countOf(replica, name));
    const last = this.#last.get(replica.id);
    const restarted = last && last.started !== replica.started;
    const young = !last && before && Date.parse(replica.started) > before.time - 5_000;
    const since = last && !restarted ? last.counts : restarted || young ? sumsOf(() => 0) : now;
    for (const name of Object.keys(now)) {
      const growth = Math.max(0, now[name] - since[name]);
      this.#sums[name] += growth;
      if (OUTCOMES.includes(name)) {
        this.#each.set(replica.id, (this.#each.get(replica.id) ?? 0) + growth);
      }
    }
    this.#last.set(replica.id, {started: replica.started, counts: now, at: time});
  }

  /** Forgets replicas that are gone, because a page may be open for weeks. */
  #forget(time) {
    for (const [id, {at}] of this.#last) {
      if (at < time - KEPT) {
        this.#last.delete(id);
        this.#each.delete(id);
      }
    }
  }

  #remember(purges, time) {
    const known = new Map(this.purges.map(purge => [purge.position, purge]));
    for (const purge of purges) {
      known.set(purge.position, {...purge, at: Date.parse(purge.time)});
    }
    this.purges = [...known.values()]
      .sort((first, second) => second.position - first.position)
      .filter((purge, rank) => rank < 20 || purge.at > time - KEPT)
      .slice(0, 200);
  }

  /** The growth of each count in the `millis` before a point, and the real length of that time in seconds. */
  grown(millis, index = this.points.length - 1) {
    const now = this.points[index];
    let from = index;
    while (from > 0 && this.points[from].time > now.time - millis) {
      from--;
    }
    const then = this.points[from];
    return {
      seconds: (now.time - then.time) / 1_000,
      by: sumsOf(name => now.sums[name] - then.sums[name]),
      of: id => (now.each.get(id) ?? 0) - (then.each.get(id) ?? 0),
    };
  }

  /** The rate of each count per second, over `millis`; null when there is no earlier point. */
  rates(millis, index) {
    const {seconds, by} = this.grown(millis, index);
    return seconds > 0 ? sumsOf(name => by[name] / seconds) : null;
  }

  /** The five seconds up to a point, because a percentile of one second or the waiters of one moment vary too much. */
  recent(index = this.points.length - 1) {
    const from = this.points[index].time - 5_000;
    const values = name => this.points.slice(Math.max(0, index - 4), index + 1)
      .filter(point => point.time > from)
      .map(point => point[name])
      .filter(value => value !== null)
      .sort((first, second) => first - second);
    return {
      max: name => values(name).at(-1) ?? null,
      median: name => {
        const all = values(name);
        return all[all.length >> 1] ?? null;
      },
    };
  }

  /** The ten keys with the most waiters at one moment of the last half minute. */
  keys() {
    const newest = this.points.at(-1);
    const keys = new Map();
    for (const point of this.points) {
      if (point.time > newest.time - KEYS_KEPT) {
        for (const {key, waiters, age, led} of point.top) {
          const kept = keys.get(key) ?? {key, now: 0, most: 0, age: 0, led: ''};
          keys.set(key, {
            key,
            now: point === newest ? waiters : 0,
            most: Math.max(kept.most, waiters),
            age: Math.max(kept.age, age),
            led: led || kept.led,
          });
        }
      }
    }
    return [...keys.values()]
      .filter(key => key.most > 0)
      .sort((one, other) => other.most - one.most || other.now - one.now || (one.key < other.key ? -1 : 1))
      .slice(0, 10);
  }

  /** The problems that need an operator, as text. */
  concerns() {
    const {replicas, time} = this.latest;
    const all = [];
    for (const replica of replicas) {
      const {id} = replica;
      if (!replica.live) {
        const silent = Math.round((Date.parse(time) - Date.parse(replica.seen)) / 1_000);
        all.push({grave: true, id: `silent ${id}`, text: `${id} stopped reporting`, since: silent});
        continue;
      }
      if (id.includes('/')) {
        all.push({grave: true, id: `twice ${id}`,
          text: `two processes have the replica id ${id.slice(0, id.indexOf('/'))}`});
      }
      if (replica.redis !== 'UP') {
        all.push({grave: true, id: `redis ${id}`, text: `${id} has lost Redis and works without the fleet`});
      } else if (replica.lagMillis > LATE) {
        all.push({grave: true, id: `lag ${id}`, text: `${id} lags behind the fleet's purges`});
      }
      for (const [route, breaker] of Object.entries(replica.breakers ?? {})) {
        if (breaker !== 'CLOSED' && breaker !== 'DISABLED') {
          const state = breaker.toLowerCase().replace('_', ' ');
          all.push({grave: breaker !== 'HALF_OPEN', id: `breaker ${id} ${route}`,
            text: `circuit breaker of ${route} is ${state} on ${id}`});
        }
      }
    }
    const versions = new Set(replicas.filter(replica => replica.live && replica.version).map(replica => replica.version));
    if (versions.size > 1) {
      all.push({grave: false, id: 'versions', text: `versions ${[...versions].sort().join(' and ')} are running`});
    }
    const perFill = this.perFill();
    if (perFill.fills >= 20 && perFill.ratio > 1.05) {
      all.push({grave: false, id: 'per-fill', text: 'more than one origin fetch per fill'});
    }
    return all;
  }

  /** Shared origin fetches per published response in the last five minutes. */
  perFill() {
    const {by} = this.grown(KEPT);
    const ratio = by.fills > 0 ? Math.max(0, by.fetches - by.bypass - by.pass) / by.fills : null;
    return {ratio, fills: by.fills};
  }
}

/** The number of all requests in a record of counts. */
export function requestsIn(counts) {
  return OUTCOMES.reduce((all, name) => all + counts[name], 0);
}

/** The share of requests without their own origin fetch, 0 to 1; null without requests. */
export function hitRatio(counts) {
  const all = requestsIn(counts);
  return all > 0 ? (counts.hit + counts.stale + counts.collapsed) / all : null;
}

function sumsOf(value) {
  return Object.fromEntries([...OUTCOMES, ...COUNTS].map(name => [name, value(name)]));
}

function countOf(replica, name) {
  return (OUTCOMES.includes(name) ? replica.requests?.[name] : replica[name]) ?? 0;
}

function sum(all, name) {
  return all.reduce((total, replica) => total + (replica[name] ?? 0), 0);
}

/** The flights of all replicas, added up by key. */
function topOf(replicas) {
  const keys = new Map();
  for (const replica of replicas) {
    for (const flight of replica.top ?? []) {
      const kept = keys.get(flight.key) ?? {key: flight.key, waiters: 0, age: 0, led: ''};
      kept.waiters += flight.waiters;
      kept.age = Math.max(kept.age, flight.ageMillis);
      kept.led = flight.role === 'leader' ? replica.id : kept.led;
      keys.set(flight.key, kept);
    }
  }
  return [...keys.values()];
}
