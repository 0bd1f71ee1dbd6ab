/**
 * The stations of a token, in a row.
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
    /** @param {Snapshot} snapshot */
    show: snapshot => render(way(snapshot)),
    clear: () => render([]),
  }
}
