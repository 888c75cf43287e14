// What the samples say, added up over the fleet and told as rates. It knows no page and no clock: the same samples always
// give the same numbers.

const OUTCOMES = ['hit', 'stale', 'collapsed', 'miss', 'bypass', 'pass', 'failed', 'rejected', 'client_closed'];
const COUNTS = ['fetches', 'fills', 'fenced', 'takeovers', 'waits', 'waitMillis'];
// The fleet's purges must be known within a second; half of it more for a beat that was late.
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

  /** Takes the next sample. One that is not newer than the last, as after a new connection, is left out. */
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
   * A replica counts from its own start. One that has started anew begins at zero again; one that was not known before, and is
   * older than what is known, has counted while nobody looked.
   */
  #count(replica, before, time) {
    const now = sumsOf(name => countOf(replica, name));
    const last = this.#last.get(replica.id);
    const anew = last && last.started !== replica.started;
    const young = !last && before && Date.parse(replica.started) > before.time - 5_000;
    const since = last && !anew ? last.counts : anew || young ? sumsOf(() => 0) : now;
    for (const name of Object.keys(now)) {
      const more = Math.max(0, now[name] - since[name]);
      this.#sums[name] += more;
      if (OUTCOMES.includes(name)) {
        this.#each.set(replica.id, (this.#each.get(replica.id) ?? 0) + more);
      }
    }
    this.#last.set(replica.id, {started: replica.started, counts: now, at: time});
  }

  /** Replicas come and go, and a page may be open for weeks. */
  #forget(time) {
    for (const [id, {at}] of this.#last) {
      if (at < time - KEPT) {
        this.#last.delete(id);
        this.#each.delete(id);
      }
    }
  }

  #remember(told, time) {
    const known = new Map(this.purges.map(purge => [purge.position, purge]));
    for (const purge of told) {
      known.set(purge.position, {...purge, at: Date.parse(purge.time)});
    }
    this.purges = [...known.values()]
      .sort((one, other) => other.position - one.position)
      .filter((purge, rank) => rank < 20 || purge.at > time - KEPT)
      .slice(0, 200);
  }

  /** How much each count grew in the last so many milliseconds before a point, and how long that really was. */
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

  /** A second's worth of each count, smoothed over so many milliseconds; null where there is nothing to compare with. */
  rates(millis, index) {
    const {seconds, by} = this.grown(millis, index);
    return seconds > 0 ? sumsOf(name => by[name] / seconds) : null;
  }

  /** What was in the five seconds up to a point: a percentile of one second, or who waits at one moment, says little. */
  near(index = this.points.length - 1) {
    const from = this.points[index].time - 5_000;
    const values = name => this.points.slice(Math.max(0, index - 4), index + 1)
      .filter(point => point.time > from)
      .map(point => point[name])
      .filter(value => value !== null)
      .sort((one, other) => one - other);
    return {
      most: name => values(name).at(-1) ?? null,
      middle: name => {
        const all = values(name);
        return all[all.length >> 1] ?? null;
      },
    };
  }

  /** Keys by how many waited at most in the last half minute. */
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

  /** What a human should look at, in words. */
  concerns() {
    const {replicas, time} = this.latest;
    const all = [];
    for (const one of replicas) {
      if (!one.live) {
        const silent = Math.round((Date.parse(time) - Date.parse(one.seen)) / 1_000);
        all.push({grave: true, id: `silent ${one.id}`, text: `${one.id} has not been heard of`, since: silent});
        continue;
      }
      if (one.id.includes('/')) {
        all.push({grave: true, id: `twice ${one.id}`,
          text: `two processes have the replica id ${one.id.slice(0, one.id.indexOf('/'))}`});
      }
      if (one.redis !== 'UP') {
        all.push({grave: true, id: `redis ${one.id}`, text: `${one.id} is without Redis and goes on by itself`});
      } else if (one.lagMillis > LATE) {
        all.push({grave: true, id: `lag ${one.id}`, text: `${one.id} is behind the fleet's purges`});
      }
      for (const [route, breaker] of Object.entries(one.breakers ?? {})) {
        if (breaker !== 'CLOSED' && breaker !== 'DISABLED') {
          const state = breaker.toLowerCase().replace('_', ' ');
          all.push({grave: breaker !== 'HALF_OPEN', id: `breaker ${one.id} ${route}`,
            text: `breaker of ${route} is ${state} on ${one.id}`});
        }
      }
    }
    const versions = new Set(replicas.filter(one => one.live && one.version).map(one => one.version));
    if (versions.size > 1) {
      all.push({grave: false, id: 'versions', text: `versions ${[...versions].sort().join(' and ')} run side by side`});
    }
    const perFill = this.perFill();
    if (perFill.fills >= 20 && perFill.ratio > 1.05) {
      all.push({grave: false, id: 'per-fill', text: 'the origin is asked more than once for a fill'});
    }
    return all;
  }

  /** Fetches for everybody, for each answer published, in the last five minutes. */
  perFill() {
    const {by} = this.grown(KEPT);
    const ratio = by.fills > 0 ? Math.max(0, by.fetches - by.bypass - by.pass) / by.fills : null;
    return {ratio, fills: by.fills};
  }
}

/** All requests of such a record of counts. */
export function requestsIn(counts) {
  return OUTCOMES.reduce((all, name) => all + counts[name], 0);
}

/** The part of the requests that cost no fetch of their own; null when there were none. */
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
  return all.reduce((total, one) => total + (one[name] ?? 0), 0);
}

/** The flights of one key on all replicas are one. */
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
