/** The page's style, for light and dark. */
export const pageStyle = `:root {
  color-scheme: light dark;
  --text: light-dark(#1b1b1f, #e6e6ea);
  --muted: light-dark(#55555e, #a9a9b3);
  --background: light-dark(#ffffff, #17171a);
  --panel: light-dark(#f3f4f7, #222227);
  --line: light-dark(#d5d7de, #3a3a42);
  --bad: light-dark(#b00020, #ff8a95);
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--background); }
h1 { font-size: 1.6rem; margin: 0 0 0.5rem; }
h2 { font-size: 1.25rem; margin: 2rem 0 0.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 0.25rem; }
p { margin: 0.25rem 0 0.75rem; }
code, pre { font: 0.875rem/1.45 ui-monospace, monospace; }
pre { margin: 0; padding: 0.6rem 0.8rem; overflow-x: auto; background: var(--panel); border: 1px solid var(--line);
  border-radius: 0.4rem; user-select: all; }
article { margin: 1rem 0; }
article p { color: var(--muted); margin: 0.25rem 0 0; }
.columns { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); margin-bottom: 1rem; }
ul { margin: 0; padding-left: 1.2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 0.2rem 0.6rem 0.2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
#status { color: var(--muted); }
#status.failed, #faults.active { color: var(--bad); }
`

/** Shows the state of `/control` every two seconds. It writes texts only, never HTML. */
export const pageScript = `const element = id => document.getElementById(id)
const make = (name, text) => Object.assign(document.createElement(name), { textContent: text })
const outcomes = tally => Object.entries(tally.outcomes).map(([name, count]) => name + ': ' + count).join(', ')

function show({ faults, counts, settings }) {
  element('faults').replaceChildren(...(faults.length > 0 ? faults : ['none']).map(fault =>
    make('li', typeof fault === 'string' ? fault : JSON.stringify(fault))))
  element('faults').className = faults.length > 0 ? 'active' : ''
  element('counts').replaceChildren(...Object.entries(counts.endpoints).map(([name, tally]) => {
    const row = document.createElement('tr')
    row.append(make('td', name), make('td', tally.total), make('td', outcomes(tally) || '–'))
    return row
  }))
  element('settings').textContent = JSON.stringify(settings, null, 2)
}

async function update() {
  const status = element('status')
  try {
    const response = await fetch('control')
    if (!response.ok) throw new Error('HTTP ' + response.status)
    show(await response.json())
    status.textContent = 'Updated at ' + new Date().toLocaleTimeString() + ', again every two seconds.'
    status.className = ''
  } catch (error) {
    status.textContent = 'The emulator does not respond: ' + error.message
    status.className = 'failed'
  }
  setTimeout(update, 2000)
}
update()
`
