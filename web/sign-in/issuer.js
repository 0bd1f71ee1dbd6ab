/**
 * The button that signs in with the issuer.
 * @import { SignInSettings } from './settings.js'
 * @import { OAuth } from './flow.js'
 */
import { byId } from '../view/dom.js'
import { awaitResponse } from './channel.js'
import { SignInError, startAttempt } from './flow.js'
import { readSettings } from './settings.js'

/** Milliseconds after which an attempt without a response is forgotten. */
const attemptMs = 600_000

/**
 * @typedef {object} SignInPage
 * @property {(token: string) => void} use gets an access token
 * @property {(text: string) => void} say shows what the person does next
 * @property {(error: unknown) => void} failed
 */

/**
 * Shows the button if the broker is configured for it.
 *
 * @param {SignInPage} page
 * @returns {{ cancel: () => void }} `cancel` forgets an attempt that is under way
 */
export function createIssuerSignIn(page) {
  const { start, cancel } = createAttempts(page)
  const button = byId('issuer-button', HTMLButtonElement)
  const show = async () => {
    const settings = await readSettings()
    if (settings === undefined) return
    byId('issuer-sign-in', HTMLElement).hidden = false
    button.textContent = `Sign in with ${new URL(settings.issuer).host}`
    const problem = problemOf(settings)
    if (problem !== undefined) {
      byId('issuer-help', HTMLElement).textContent = problem
      return
    }
    const oauth = await loadLibrary()
    button.disabled = false
    button.addEventListener('click', () => void start(settings, oauth).catch(page.failed))
  }
  void show().catch(page.failed)
  return { cancel }
}

/** @param {SignInPage} page */
function createAttempts(page) {
  /** The number of the attempt that counts: what comes of an earlier one is not used. */
  let current = 0
  let stop = () => {}
  const cancel = () => {
    current += 1
    stop()
    stop = () => {}
  }
  /**
   * @param {SignInSettings} settings
   * @param {OAuth} oauth
   */
  const start = async ({ server, ...settings }, oauth) => {
    if (server === undefined) return
    const attempt = await startAttempt(oauth, { ...settings, server }, location.origin + location.pathname)
    cancel()
    const mine = current
    /** @param {unknown} error */
    const failed = error => mine === current && page.failed(error)
    const stopWaiting = awaitResponse(attempt.state, response => {
      stop()
      page.say('Signing in …')
      attempt.finish(response).then(token => mine === current && page.use(token), failed)
    })
    const timer = setTimeout(() => {
      stopWaiting()
      failed(new SignInError('There was no response of it for ten minutes.'))
    }, attemptMs)
    stop = () => {
      stopWaiting()
      clearTimeout(timer)
    }
    if (window.open(attempt.url, '_blank', 'popup,width=520,height=680') === null) {
      cancel()
      throw new SignInError('The browser did not open its window. Allow pop-up windows for this page.')
    }
    page.say('Sign in in the window of the issuer that has opened. This page continues by itself.')
  }
  return { start, cancel }
}

/** @param {SignInSettings} settings */
function problemOf({ server, issuer }) {
  if (!isSecureContext) return 'This needs https: browsers give pages over plain http no cryptography.'
  return server === undefined
    ? `Not available now: the broker could not read the metadata of ${issuer}. Reload this page in a minute.`
    : undefined
}

/** @returns {Promise<OAuth>} */
function loadLibrary() {
  // A file of the page, so its name is not that of the package.
  return import(new URL('../lib/oauth4webapi.js', import.meta.url).href)
}
