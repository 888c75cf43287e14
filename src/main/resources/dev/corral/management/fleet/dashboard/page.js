// Passes the events of the stream to the fleet, and shows the fleet on the page.

import {Charts} from './charts.js';
import {Fleet, hitRatio, requestsIn} from './fleet.js';
import {PurgeBox} from './purge.js';
import {follow} from './stream.js';
import * as words from './words.js';

const NOW = 5_000;
const MINUTE = 60_000;
const ALL = 300_000;

/** A URL relative to this script, without user and password: browsers refuse to fetch a URL with credentials. */
function address(path) {
  const url = new URL(path, import.meta.url);
  url.username = '';
  url.password = '';
  return url;
}

const fleet = new Fleet();
const charts = new Charts(fleet);
const box = new PurgeBox(address('../../purge'));
const at = id => document.getElementById(id);
const text = (id, value) => {
  if (at(id).textContent !== value) {
    at(id).textContent = value;
  }
};

let due = false;

function render() {
  if (!due && !document.hidden && fleet.latest) {
    due = true;
    requestAnimationFrame(() => {
      due = false;
      show();
    });
  }
}

function show() {
  const now = fleet.points.at(-1);
  text('clock', words.clock(now.time));
  at('clock').dateTime = new Date(now.time).toISOString();
  const live = fleet.latest.replicas.filter(replica => replica.live).length;
  text('fleet-size', `${live} of ${words.plural(fleet.latest.replicas.length, 'replica')} live`);
  numbers();
  concerns();
  charts.draw();
  replicas();
  keys();
  purges(now.time);
  box.routes([...new Set(fleet.latest.replicas.flatMap(one => Object.keys(one.breakers ?? {})))].sort());
}

// ---- current numbers

function numbers() {
  const point = fleet.points.at(-1);
  const rates = fleet.rates(NOW);
  const {by: all} = fleet.grown(ALL);
  const requests = requestsIn(all);
  const saved = Math.max(0, requests - all.fetches);
  text('hit-ratio', words.percent(rates && hitRatio(rates) !== null ? hitRatio(rates) : hitRatio(all)));
  text('requests', words.rate(rates && requestsIn(rates)));
  text('fetches', words.rate(rates && rates.fetches));
  text('saved', words.count(saved));
  text('saved-note', requests ? `${words.percent(saved / requests)} in 5 min` : 'in 5 min');
  text('per-fill', words.ratio(fleet.perFill().ratio));
  text('p50', words.millis(fleet.recent().median('p50')));
  text('p99', `p99 ${words.millis(fleet.recent().max('p99'))}`);
  const {by: recent} = fleet.grown(MINUTE);
  text('wait-time', recent.waits ? words.millis(recent.waitMillis / recent.waits) : words.NOTHING);
  text('wait-rate', recent.waits ? `${words.plural(recent.waits, 'wait')} per minute` : 'none in the last minute');
  text('waiters', words.count(point.waiters));
  text('flights', words.plural(point.flights, 'flight'));
}

// ---- problems

let shownConcerns = '';

function concerns() {
  const all = fleet.concerns();
  // Screen readers announce a change of the list; the growing time since the last report is not a change.
  const signature = JSON.stringify(all.map(one => one.text));
  if (signature === shownConcerns) {
    return;
  }
  shownConcerns = signature;
  at('concerns').replaceChildren(...(all.length
    ? all.map(one => element('li', one.text, one.grave ? 'grave' : 'mild'))
    : [element('li', 'Nothing needs attention', 'calm')]));
}

// ---- replicas

function replicas() {
  const {replicas: all, self, time} = fleet.latest;
  const {seconds, of} = fleet.grown(NOW);
  keyed(at('replicas'), all, one => one.id, () => row(
    ['Replica', 'State', 'Traffic', 'p50, p99', 'Flights', 'Redis', 'Purge lag', 'Clock', 'Breakers']), (cells, one) => {
    const late = one.live && one.lagMillis > 1_500;
    fill(cells[0], element('b', one.id), small(one.id === self ? `${one.version ?? ''} (this replica)` : one.version ?? ''));
    fill(cells[1], one.live ? badge('live', 'good') : badge('silent', 'bad'), small(one.live
      ? `up ${words.ago(Date.parse(time) - Date.parse(one.started))}`
      : `for ${words.ago(Date.parse(time) - Date.parse(one.seen))}`));
    fill(cells[2], bar(one.share ?? 0), small(`${words.percent(one.share ?? 0)}, `
      + `${words.rate(seconds > 0 ? of(one.id) / seconds : null)}/s`));
    fill(cells[3], `${words.millis(one.p50Millis)}`, small(words.millis(one.p99Millis)));
    fill(cells[4], words.plural(one.flights ?? 0, 'flight'), small(words.plural(one.waiters ?? 0, 'waiter')));
    fill(cells[5], one.redis === 'UP' ? badge('up', 'good') : badge((one.redis ?? 'unknown').toLowerCase(), 'bad'));
    fill(cells[6], late ? badge(words.millis(one.lagMillis), 'bad') : words.millis(one.lagMillis));
    fill(cells[7], one.clockOffsetMillis === undefined ? words.NOTHING
      : `${one.clockOffsetMillis > 0 ? '+' : one.clockOffsetMillis < 0 ? '−' : ''}${words.millis(Math.abs(one.clockOffsetMillis))}`);
    fill(cells[8], ...breakers(one.breakers ?? {}));
    cells[0].parentElement.classList.toggle('gone', !one.live);
  });
}

/** Closed breakers are shown as one badge. */
function breakers(states) {
  const all = Object.entries(states);
  const other = all.filter(([, state]) => state !== 'CLOSED');
  if (!all.length) {
    return [words.NOTHING];
  }
  if (!other.length) {
    return [badge('closed', 'good'), small(words.plural(all.length, 'route'))];
  }
  return other.map(([route, state]) => badge(`${route} ${state.toLowerCase().replace('_', ' ')}`,
    state === 'DISABLED' || state === 'HALF_OPEN' ? 'mild' : 'bad'));
}

// ---- keys

function keys() {
  const all = fleet.keys();
  at('no-keys').hidden = all.length > 0;
  at('keys').parentElement.hidden = all.length === 0;
  keyed(at('keys'), all, one => one.key, () => row(['Key', 'Now', 'At most', 'Longest', 'Led by'], [1, 2, 3]), (cells, one) => {
    fill(cells[0], ...keyIn(one.key));
    fill(cells[1], words.count(one.now));
    fill(cells[2], words.count(one.most));
    fill(cells[3], words.millis(one.age));
    fill(cells[4], one.led || words.NOTHING);
    cells[0].parentElement.classList.toggle('ended', one.now === 0);
  });
}

/** The path is emphasized; scheme and host are the same for most keys. */
function keyIn(key) {
  const path = key.indexOf('/', key.indexOf('//') + 2);
  return path < 0 ? [element('code', key)] : [element('code', key.slice(0, path), 'quiet'), element('code', key.slice(path))];
}

// ---- purges

function purges(now) {
  const latest = fleet.purges.slice(0, 12);
  at('no-purges').hidden = latest.length > 0;
  keyed(at('purges'), latest, one => String(one.position), () => {
    const item = document.createElement('li');
    const cells = ['names', 'how', 'when'].map(kind => element('span', '', kind));
    item.append(...cells);
    return {node: item, cells};
  }, (cells, one) => {
    fill(cells[0], ...(one.names ?? []).slice(0, 3).map(name => element('code', name)),
      ...((one.names ?? []).length > 3 ? [small(`and ${one.names.length - 3} more`)] : []));
    fill(cells[1], one.soft ? 'made stale' : 'removed', ` by ${one.by || 'unknown'}`);
    fill(cells[2], `${words.clock(one.at)}, ${words.ago(now - one.at)} ago`);
  });
}

// ---- creating and updating elements

const cellsOf = new WeakMap();

/** Updates existing elements instead of replacing them, so that selection, focus and screen reader position are kept. */
function keyed(parent, items, key, make, update) {
  const kept = new Map([...parent.children].map(child => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    let child = kept.get(key(item));
    if (!child) {
      const {node, cells} = make();
      child = node;
      cellsOf.set(child, cells);
      child.dataset.key = key(item);
    }
    kept.delete(key(item));
    if (child === next) {
      next = next.nextElementSibling;
    } else {
      parent.insertBefore(child, next);
    }
    update(cellsOf.get(child), item);
  }
  kept.forEach(child => child.remove());
}

function row(labels, numbers = []) {
  const node = document.createElement('tr');
  node.setAttribute('role', 'row');
  const cells = labels.map((label, index) => {
    const cell = document.createElement('td');
    cell.setAttribute('role', 'cell');
    cell.dataset.label = label;
    cell.classList.toggle('number', numbers.includes(index));
    return cell;
  });
  node.append(...cells);
  return {node, cells};
}

const shown = new WeakMap();

/** Replaces the content only if it has changed. */
function fill(parent, ...nodes) {
  const next = document.createElement('div');
  next.append(...nodes);
  if (shown.get(parent) !== next.innerHTML) {
    shown.set(parent, next.innerHTML);
    parent.replaceChildren(...next.childNodes);
  }
}

function element(name, value, kind = '') {
  return Object.assign(document.createElement(name), {textContent: value, className: kind});
}

function small(value) {
  return element('small', value);
}

function badge(value, mood) {
  return element('span', value, `badge ${mood}`);
}

function bar(part) {
  const node = document.createElement('span');
  node.className = 'bar';
  node.setAttribute('aria-hidden', 'true');
  const filled = document.createElement('span');
  filled.className = 'part';
  filled.style.width = `${Math.round(100 * Math.min(1, Math.max(0, part)))}%`;
  node.append(filled);
  return node;
}

// ---- the stream

function title(grave) {
  document.title = grave ? '(!) Corral' : 'Corral';
}

follow(address('../stream'), {
  event(name, data) {
    const value = JSON.parse(data);
    (name === 'history' ? value : [value]).forEach(sample => fleet.add(sample));
    if (!fleet.latest) {
      return;
    }
    // A page in the background is not rendered, but its title is visible.
    title(fleet.concerns().some(one => one.grave));
    render();
  },
  live() {
    document.body.dataset.link = 'live';
    text('link', 'Live');
    at('lost').hidden = true;
  },
  lost(why) {
    document.body.dataset.link = 'lost';
    text('link', 'Not live');
    title(true);
    at('lost').hidden = false;
    text('lost', fleet.latest
      ? `Not live since ${words.clock(fleet.points.at(-1).time)}: ${why}. The data below is from that time. Reconnecting automatically.`
      : `No connection: ${why}. Reconnecting automatically.`);
  },
});

document.addEventListener('visibilitychange', render);
