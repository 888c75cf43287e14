// The purge form: first a preview of the hits, then the purge, then the acknowledgements of the replicas.

import * as words from './words.js';

const TIMEOUT = 30_000;
const NAMES = {
  urls: {label: 'URLs, one per line', example: '/products/1'},
  tags: {label: 'Tags, one per line', example: 'sale'},
  prefixes: {label: 'Prefixes, one per line', example: '/products/'},
};
const HOW = {
  hard: 'Removed immediately, on all replicas.',
  soft: 'Stale immediately. May still be served where stale responses are allowed, during revalidation.',
};

export class PurgeBox {
  #url;
  #form = document.getElementById('purge');
  #names = document.getElementById('names');
  #route = document.getElementById('route');
  #outcome = document.getElementById('outcome');
  #purge = document.getElementById('purge-now');
  #previewed = null;
  #requestNumber = 0;

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

  /** Sets the routes to choose from. */
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

  /** The form has changed: the preview no longer shows what would be purged. */
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
    this.#requestNumber++;
    if (this.#previewed) {
      this.#forget();
      this.#outcome.replaceChildren();
    }
  }

  #forget() {
    this.#previewed = null;
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
      this.#show('bad', element('p', 'Enter at least one name.'));
      return;
    }
    const number = ++this.#requestNumber;
    this.#show('', element('p', 'Looking up …'));
    const response = await this.#post({...order, wait: false, dryRun: true});
    // The form has changed in the meantime.
    if (number !== this.#requestNumber) {
      return;
    }
    if (!response.ok) {
      this.#showError(response);
      return;
    }
    this.#previewed = order;
    this.#purge.disabled = false;
    this.#purge.textContent = order.all ? 'Purge everything' : order.soft ? 'Make stale' : 'Purge';
    this.#show('seen', ...preview(response.body, order));
  }

  async #go() {
    const order = this.#previewed;
    if (!order) {
      return;
    }
    this.#forget();
    // The button is disabled and loses the focus.
    this.#outcome.tabIndex = -1;
    this.#outcome.focus();
    const number = ++this.#requestNumber;
    this.#show('', element('p', 'Purging …'));
    const response = await this.#post({...order, wait: true, dryRun: false});
    if (number !== this.#requestNumber) {
      // The form has changed and is for the next purge; the result of this one is shown nevertheless.
      this.#forget();
    }
    if (response.ok) {
      this.#show(response.body.complete ? 'good' : 'bad', ...result(response.body));
    } else {
      this.#showError(response);
    }
  }

  async #post(order) {
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: {'Content-Type': 'application/json', Accept: 'application/json, application/problem+json'},
        body: JSON.stringify(order),
        signal: AbortSignal.timeout(TIMEOUT),
      });
      const body = await response.json().catch(() => ({}));
      return {ok: response.ok, status: response.status, body};
    } catch {
      return {ok: false, status: 0, body: {detail: 'The replica did not respond. A purge may or may not have taken effect.'}};
    }
  }

  #showError({status, body}) {
    this.#show('bad', element('p', body.detail ?? `The replica responded with ${status}.`));
  }

  #show(mood, ...nodes) {
    this.#outcome.dataset.mood = mood;
    this.#outcome.replaceChildren(...nodes);
  }
}

/** The hits of a purge in advance. */
function preview({names, here, urls}, order) {
  const nodes = [element('h3', 'The purge will hit')];
  nodes.push(list(names.map(name => [element('code', name)])));
  nodes.push(element('p', `${words.count(here.hit)} of ${words.count(here.of)} responses in this replica's memory.`));
  if (urls?.length) {
    nodes.push(list(urls.map(one => [element('code', one.url), ` ${stateOf(one)}`])));
  }
  if (order.all) {
    nodes.push(element('p', 'Every response will be fetched from the origin again.', 'warning'));
  }
  return nodes;
}

function stateOf(one) {
  const parts = [one.state];
  if (Number.isFinite(one.ageSeconds)) {
    parts.push(`${one.ageSeconds} s old`);
  }
  if (Number.isFinite(one.ttlSeconds)) {
    parts.push(one.ttlSeconds >= 0 ? `${one.ttlSeconds} s left` : `stale for ${-one.ttlSeconds} s`);
  }
  if (one.tags?.length) {
    parts.push(`tags ${one.tags.join(', ')}`);
  }
  return parts.join(', ');
}

/** The result of a purge. */
function result({names, soft, complete, replicas, position}) {
  const acknowledged = replicas.filter(replica => replica.acknowledged);
  const slowest = Math.max(0, ...acknowledged.map(replica => replica.millis));
  const nodes = [
    element('h3', soft ? 'Made stale' : 'Purged'),
    list(names.map(name => [element('code', name)])),
    element('p', complete
      ? `All ${words.plural(replicas.length, 'replica')} acknowledged after ${words.millis(slowest)}.`
      : `${acknowledged.length} of ${words.plural(replicas.length, 'replica')} acknowledged in time. The purge is written: the others `
        + 'learn it within a second of reaching Redis again, and serve nothing from memory until then.'),
  ];
  const latencies = document.createElement('ul');
  latencies.className = 'latencies';
  for (const replica of replicas) {
    const item = document.createElement('li');
    item.append(element('span', replica.id, 'id'),
      element('span', replica.acknowledged ? words.millis(replica.millis) : 'no response', replica.acknowledged ? '' : 'bad-text'));
    latencies.append(item);
  }
  nodes.push(latencies, element('p', `Position ${position}`, 'quiet'));
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
