/** Starts the page: the sign-in, and the board while a user is signed in; or the end of a sign-in with the issuer. */
import { createIssuerSignIn } from '../sign-in/issuer.js'
import { finishReturn, takeResponse } from '../sign-in/return.js'
import { startBoard } from './board.js'
import { createClient } from './client.js'
import { byId } from './dom.js'
import { createSignIn } from './sign-in.js'

const board = byId('board', HTMLElement)
const signOut = byId('sign-out', HTMLButtonElement)

/** Ends the running session; does nothing while there is none. */
let end = () => {}

const signIn = createSignIn(async credential => {
  issuerSignIn.cancel()
  const client = createClient(credential)
  const running = startBoard(client, error => {
    end()
    signIn.show(error)
  })
  end = () => {
    end = () => {}
    client.forget()
    running.close()
    board.hidden = true
    signOut.hidden = true
  }
  try {
    await running.first
  } catch (error) {
    end()
    throw error
  }
  board.hidden = false
  signOut.hidden = false
})

/** Forgets the credential and everything that was read with it. */
const leave = () => {
  issuerSignIn.cancel()
  end()
  signIn.show()
}

const response = takeResponse()
const issuerSignIn = response
  ? { cancel: () => {} }
  : createIssuerSignIn({ use: token => void signIn.submit(token), say: signIn.say, failed: signIn.show })
if (response) {
  void finishReturn(response)
} else {
  signOut.addEventListener('click', leave)
  // A page that the browser keeps for the button "back" keeps no credential either.
  addEventListener('pagehide', leave)
  signIn.show()
}
