/** What the page does in the window that comes back from the issuer. */
import { byId, el } from '../view/dom.js'
import { offerResponse } from './channel.js'

/**
 * The issuer's response in the page's address, which it is removed from; `undefined` if there is none.
 * @returns {URLSearchParams | undefined}
 */
export function takeResponse() {
  const candidates = [new URLSearchParams(location.hash.slice(1)), new URLSearchParams(location.search)]
  const response = candidates.find(each => each.has('state') && (each.has('code') || each.has('error')))
  if (response) history.replaceState(null, '', location.pathname)
  return response
}

/**
 * Gives the response to the page that waits for it, and closes the window if the browser permits that.
 * @param {URLSearchParams} response
 */
export async function finishReturn(response) {
  const say = /** @param {...(string | Node)} text */ (...text) =>
    byId('main', HTMLElement).replaceChildren(el('p', { id: 'returned', role: 'status' }, ...text))
  say('Signing in …')
  if (await offerResponse(response)) {
    say('The dashboard in the other window has the response. You can close this window.')
    window.close()
  } else {
    const again = el('a', { href: location.pathname }, 'Open the dashboard')
    say('No dashboard in this browser waits for this sign-in. ', again, ', and sign in there again.')
  }
}
