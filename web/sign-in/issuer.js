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
 * Shows the button if the broker is configured for it.
 *
 * @param {{ use: (token: string) => void, say: (text: string) => void, failed: (error: unknown) => void }} page `use` gets
 *   an access token; `say` shows what the person does next
 * @returns {{ cancel: () => void }} `cancel` forgets an attempt that is under way
 */
export function createIssuerSignIn(page) {
  const button = byId('issuer-button', HTMLButtonElement)
  const help = byId('issuer-help', HTMLElement)
  let cancel = () => {}
  /**
   * @param {SignInSettings} settings
   * @param {OAuth} oauth
   */
  const start = async ({ server, ...settings }, oauth) => {
    cancel()
    if (server === undefined) return
    const attempt = await startAttempt(oauth, { ...settings, server }, location.origin + location.pathname)
    const stop = awaitResponse(attempt.state, response => {
      cancel()
      page.say('Signing in …')
      attempt.finish(response).then(page.use, page.failed)
    })
    const timer = setTimeout(() => cancel(), attemptMs)
    cancel = () => {
      stop()
      clearTimeout(timer)
      cancel = () => {}
    }
    if (window.open(attempt.url, '_blank', 'popup,width=520,height=680') === null) {
      cancel()
      throw new SignInError('The browser did not open its window. Allow pop-up windows for this page.')
    }
    page.say('Sign in in the window of the issuer that has opened. This page continues by itself.')
  }
  const show = async () => {
    const settings = await readSettings()
    if (settings === undefined) return
    byId('issuer-sign-in', HTMLElement).hidden = false
    const { host } = new URL(settings.issuer)
    button.textContent = `Sign in with ${host}`
    const problem = problemOf(settings)
    if (problem !== undefined) {
      help.textContent = problem
      return
    }
    const oauth = await loadLibrary()
    button.disabled = false
    button.addEventListener('click', () => void start(settings, oauth).catch(page.failed))
  }
  void show().catch(page.failed)
  return { cancel: () => cancel() }
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
