/**
 * How the window in which a person signed in gives the issuer's response to the page that opened it. The two do not
 * know each other: the page's Cross-Origin-Opener-Policy separates it from the issuer's pages. Only pages of this origin
 * are on the channel, and each page takes nothing but a response with its own `state`.
 */
const name = 'token-broker-sign-in'

/** No issuer's response is longer. */
const maxLength = 16_384

/** Milliseconds for a page to take a response. */
const takenWithinMs = 3_000

/**
 * Unlike a message to a window, one on a channel has no target: it reaches documents of this origin only.
 * @param {BroadcastChannel} channel
 * @param {{ response: string } | { taken: string }} message
 */
const post = (channel, message) => BroadcastChannel.prototype.postMessage.call(channel, message)

/**
 * Waits for the response of an attempt.
 *
 * @param {string} state
 * @param {(response: URLSearchParams) => void} taken is called once at most
 * @returns {() => void} stops waiting
 */
export function awaitResponse(state, taken) {
  const channel = new BroadcastChannel(name)
  channel.addEventListener('message', ({ data }) => {
    if (typeof data?.response !== 'string' || data.response.length > maxLength) return
    const response = new URLSearchParams(data.response)
    if (response.get('state') !== state) return
    post(channel, { taken: state })
    channel.close()
    taken(response)
  })
  return () => channel.close()
}

/**
 * Offers a response to the pages of this origin.
 *
 * @param {URLSearchParams} response
 * @returns {Promise<boolean>} whether a page has taken it
 */
export function offerResponse(response) {
  const { promise, resolve } = Promise.withResolvers()
  const channel = new BroadcastChannel(name)
  channel.addEventListener('message', ({ data }) => {
    if (typeof data?.taken === 'string' && data.taken === response.get('state')) resolve(true)
  })
  post(channel, { response: response.toString() })
  setTimeout(() => resolve(false), takenWithinMs)
  return promise.finally(() => channel.close())
}
