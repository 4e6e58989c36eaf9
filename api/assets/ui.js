(() => {
  const $ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const pad = number => String(number).padStart(2, '0');
  const local = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'medium'});
  const day = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium'});
  const clock = at => `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;

  // UTC becomes the reader's zone.
  function times() {
    for (const one of $('time[datetime]:not([data-done])')) {
      const at = new Date(one.dateTime);
      if (isNaN(at)) continue;
      one.title ||= one.dateTime.replace('T', ' ').replace('Z', ' UTC');
      const ms = one.dateTime.match(/\.\d+/);
      one.textContent = 'minute' in one.dataset ? clock(at).slice(0, 5) : 'clock' in one.dataset ? clock(at) : ms ? `${day.format(at)} ${clock(at)}${ms}` : local.format(at);
      one.dataset.done = '';
    }
  }

  function tab() {
    const state = $('[data-favicon]')[0];
    if (!state) return;
    const icon = $('#favicon')[0];
    if (icon && icon.getAttribute('href') !== state.dataset.favicon) icon.setAttribute('href', state.dataset.favicon);
    const rest = document.title.split(' – ').slice(-2).join(' – ');
    document.title = `${state.dataset.title} – ${rest}`;
  }

  function tick() {
    if (document.hidden) return;
    for (const one of $('.asof')) {
      const age = Math.round((Date.now() - new Date($('time', one)[0]?.dateTime)) / 1000);
      one.classList.toggle('old', age > 10);
      one.dataset.age = age > 2 ? `${age} s old` : '';
    }
    for (const one of $('[data-until]')) {
      const left = Math.max(0, Math.round((new Date(one.dataset.until) - Date.now()) / 1000));
      one.textContent = `${Math.floor(left / 60)}:${pad(left % 60)}`;
    }
  }

  // Where no stream brings news, the page asks for them, and begins a stream that never began.
  let shown, heard, asked = 0, begun = Date.now();
  function poll() {
    const now = Date.now(), at = $('.asof time')[0]?.dateTime, stream = $('[hx-sse\\:connect]')[0];
    if (at !== shown) { shown = at; heard = now; }
    if (!stream || document.hidden || now - heard < 10000 || now - asked < 5000) return;
    asked = now;
    if (now - begun > 30000) {
      begun = now;
      htmx.trigger(stream, 'again');
    } else htmx.ajax('GET', stream.getAttribute('hx-sse:connect') + '&once=true', {source: stream, swap: 'none'});
  }

  function refresh() { times(); tab(); tick(); }

  async function copy(button) {
    const from = document.getElementById(button.dataset.copy);
    if (!from) return;
    const text = from.value ?? from.textContent;
    try {
      await navigator.clipboard.writeText(text);
      const was = button.textContent;
      button.textContent = 'Copied';
      setTimeout(() => { button.textContent = was; }, 2000);
    } catch {
      if (from.select) from.select(); else getSelection().selectAllChildren(from);
    }
  }

  document.addEventListener('click', event => {
    for (const menu of $('.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
    const button = event.target.closest('[data-copy],[data-dialog],[data-show]');
    if (!button) return;
    if (button.dataset.copy) copy(button);
    if (button.dataset.dialog) document.getElementById(button.dataset.dialog)?.showModal();
    if (button.dataset.show) {
      const field = document.getElementById(button.dataset.show);
      if (field) field.type = field.type === 'password' ? 'text' : 'password';
    }
  });

  let leader = 0;
  document.addEventListener('keydown', event => {
    const typing = event.target.closest('input,textarea,select,[contenteditable]');
    if (event.key === 'Escape') { if (typing) typing.blur(); for (const menu of $('.menu[open]')) menu.open = false; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || $('dialog[open]').length) return;
    if (Date.now() - leader < 1500) {
      leader = 0;
      $(`nav.main [data-key="${CSS.escape(event.key)}"]`)[0]?.click();
    } else if (event.key === 'g') leader = Date.now();
    else if (event.key === '/') { event.preventDefault(); $('#find')[0]?.focus(); }
    else if (event.key === '?') $('#keys')[0]?.showModal();
    else if (event.key === 'p') $('[data-pause]')[0]?.click();
    else if (event.key === 'x') {
      const boxes = $('main td input[type=checkbox]');
      const on = boxes.some(box => !box.checked);
      for (const box of boxes) if (box.checked !== on) box.click();
    }
  });

  // A list says how many rows are newer; it never moves by itself.
  setInterval(() => {
    const newer = $('[data-newer]')[0];
    if (newer && !document.hidden) htmx.ajax('GET', newer.dataset.newer, {target: newer, swap: 'innerHTML'});
  }, 10000);
  document.addEventListener('htmx:after:swap', refresh);
  setInterval(() => { tick(); poll(); }, 1000);
  refresh();
})();
