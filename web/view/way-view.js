/**
 * The steps in which a token is issued, in a row.
 * @import { Finding } from '../model/finding.ts'
 * @import { Snapshot } from '../model/responses.ts'
 * @import { Station } from '../model/way.js'
 */
import { way } from '../model/way.js'
import { byId, el, renderer } from './dom.js'
import { state } from './table.js'

/** Creates the view. */
export function createWayView() {
  const render = renderer(byId('way', HTMLOListElement), (/** @type {readonly Station[]} */ stations) =>
    stations.map(({ title, level, word, detail }) =>
      el('li', { class: level }, el('h3', {}, title), state(level, word), el('p', {}, detail)),
    ),
  )
  return {
    /**
     * @param {Snapshot} snapshot
     * @param {readonly Finding[]} found
     */
    show: (snapshot, found) => render(way(snapshot, found)),
    clear: () => render([]),
  }
}
