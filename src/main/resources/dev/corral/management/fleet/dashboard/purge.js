// The purge box: first what it will hit, then the purge, then what each replica says.

import * as words from './words.js';

const PATIENCE = 30_000;
const NAMES = {
  urls: {label: 'URLs, one a line', example: '/products/1'},
  tags: {label: 'Tags, one a line', example: 'sale'},
  prefixes: {label: 'Prefixes, one a line', example: '/products/'},
};
const HOW = {
  hard: 'Gone at once, for everybody.',
  soft: 'Stale at once. May still be used where stale answers may, while a new one is fetched.',
};

export class PurgeBox {
  #url;
  #form = document.getElementById('purge');
  #names = document.getElementById('names');
  #route = document.getElementById('route');
  #outcome = document.getElementById('outcome');
  #purge = document.getElementById('purge-now');
  #seen = null;
  #asked = 0;

  constructor(url) {
    this.#url = url;
    this.#form.addEventListener('input', () => this.#changed());
    this.#form.addEventListener('submit', event => {
      event.preventDefault();
      this.#preview();
    });
    this.#names.addEventListener('keydown', event => {
      if (event.key === 'Enter' && !event.shiftKey && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.#preview();
      }
    });
    this.#purge.addEventListener('click', () => this.#go());
    this.#changed();
  }

  /** The routes there are to choose from. */
  routes(ids) {
    const known = [...this.#route.options].map(option => option.value);
    if (ids.join('\n') !== known.join('\n')) {
      const chosen = this.#route.value;
      this.#route.replaceChildren(...ids.map(id => new Option(id, id, false, id === chosen)));
    }
  }

  #what() {
    return this.#form.elements.what.value;
  }

  /** What was shown is no longer what would be purged. */
  #changed() {
    const what = this.#what();
    document.getElementById('names-field').hidden = !(what in NAMES);
    document.getElementById('route-field').hidden = what !== 'routes';
    document.getElementById('all-field').hidden = what !== 'all';
    if (what in NAMES) {
      document.getElementById('names-label').textContent = NAMES[what].label;
      this.#names.placeholder = NAMES[what].example;
    }
    document.getElementById('how-note').textContent = HOW[this.#form.elements.how.value];
    this.#names.removeAttribute('aria-invalid');
    this.#asked++;
    if (this.#seen) {
      this.#forget();
      this.#outcome.replaceChildren();
    }
  }

  #forget() {
    this.#seen = null;
    this.#purge.disabled = true;
    this.#purge.textContent = 'Purge';
  }

  #order() {
    const what = this.#what();
    const named = what === 'all' ? {} : {[what]: what === 'routes' ? [this.#route.value] : this.#lines()};
    return {...named, all: what === 'all', soft: this.#form.elements.how.value === 'soft'};
  }

  #lines() {
    return this.#names.value.split('\n').map(line => line.trim()).filter(line => line);
  }

  async #preview() {
    const order = this.#order();
    this.#forget();
    if (this.#what() in NAMES && order[this.#what()].length === 0) {
      this.#names.setAttribute('aria-invalid', 'true');
      this.#names.focus();
      this.#say('bad', element('p', 'Name something first.'));
      return;
    }
    const asked = ++this.#asked;
    this.#say('', element('p', 'Looking …'));
    const answer = await this.#post({...order, wait: false, dryRun: true});
    // Something else was typed meanwhile.
    if (asked !== this.#asked) {
      return;
    }
    if (!answer.ok) {
      this.#refused(answer);
      return;
    }
    this.#seen = order;
    this.#purge.disabled = false;
    this.#purge.textContent = order.all ? 'Purge everything' : order.soft ? 'Make stale' : 'Purge';
    this.#say('seen', ...foreseen(answer.body, order));
  }

  async #go() {
    const order = this.#seen;
    if (!order) {
      return;
    }
    this.#forget();
    // The button that had the focus can no longer have it.
    this.#outcome.tabIndex = -1;
    this.#outcome.focus();
    const asked = ++this.#asked;
    this.#say('', element('p', 'Purging …'));
    const answer = await this.#post({...order, wait: true, dryRun: false});
    if (asked !== this.#asked) {
      // The form is for the next one; this one is told all the same.
      this.#forget();
    }
    if (answer.ok) {
      this.#say(answer.body.complete ? 'good' : 'bad', ...done(answer.body));
    } else {
      this.#refused(answer);
    }
  }

  async #post(order) {
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: {'Content-Type': 'application/json', Accept: 'application/json, application/problem+json'},
        body: JSON.stringify(order),
        signal: AbortSignal.timeout(PATIENCE),
      });
      const body = await response.json().catch(() => ({}));
      return {ok: response.ok, status: response.status, body};
    } catch {
      return {ok: false, status: 0, body: {detail: 'The replica could not be asked. If this was a purge, it may or may not have been done.'}};
    }
  }

  #refused({status, body}) {
    this.#say('bad', element('p', body.detail ?? `The replica answered ${status}.`));
  }

  #say(mood, ...nodes) {
    this.#outcome.dataset.mood = mood;
    this.#outcome.replaceChildren(...nodes);
  }
}

/** What a purge would hit. */
function foreseen({names, here, urls}, order) {
  const nodes = [element('h3', 'It will hit')];
  nodes.push(list(names.map(name => [element('code', name)])));
  nodes.push(element('p', `${words.count(here.hit)} of ${words.count(here.of)} answers in this replica's memory.`));
  if (urls?.length) {
    nodes.push(list(urls.map(one => [element('code', one.url), ` ${stateOf(one)}`])));
  }
  if (order.all) {
    nodes.push(element('p', 'Every answer will be fetched anew, each once.', 'warning'));
  }
  return nodes;
}

function stateOf(one) {
  const said = [one.state];
  if (Number.isFinite(one.ageSeconds)) {
    said.push(`${one.ageSeconds} s old`);
  }
  if (Number.isFinite(one.ttlSeconds)) {
    said.push(one.ttlSeconds >= 0 ? `${one.ttlSeconds} s left` : `stale for ${-one.ttlSeconds} s`);
  }
  if (one.tags?.length) {
    said.push(`tags ${one.tags.join(', ')}`);
  }
  return said.join(', ');
}

/** What became of one. */
function done({names, soft, complete, replicas, position}) {
  const known = replicas.filter(one => one.acknowledged);
  const slowest = Math.max(0, ...known.map(one => one.millis));
  const nodes = [
    element('h3', soft ? 'Made stale' : 'Purged'),
    list(names.map(name => [element('code', name)])),
    element('p', complete
      ? `All ${words.plural(replicas.length, 'replica')} knew after ${words.millis(slowest)}.`
      : `${known.length} of ${words.plural(replicas.length, 'replica')} said so in time. It is written: the others know within a `
        + 'second of being in step again, and serve nothing from memory until then.'),
  ];
  const heard = document.createElement('ul');
  heard.className = 'heard';
  for (const one of replicas) {
    const item = document.createElement('li');
    item.append(element('span', one.id, 'id'), element('span', one.acknowledged ? words.millis(one.millis) : 'no answer',
      one.acknowledged ? '' : 'bad-text'));
    heard.append(item);
  }
  nodes.push(heard, element('p', `Position ${position}`, 'quiet'));
  return nodes;
}

function list(items) {
  const all = document.createElement('ul');
  for (const nodes of items.slice(0, 10)) {
    const item = document.createElement('li');
    item.append(...nodes);
    all.append(item);
  }
  if (items.length > 10) {
    all.append(element('li', `and ${items.length - 10} more`));
  }
  return all;
}

function element(name, text, kind = '') {
  return Object.assign(document.createElement(name), {textContent: text, className: kind});
}
