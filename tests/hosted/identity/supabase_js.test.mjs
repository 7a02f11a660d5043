// The official JavaScript client, unmodified, against the double. The addresses come in the environment.
import assert from 'node:assert/strict'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { createClient } from '@supabase/supabase-js'

const { SUPABASE_URL, SUPABASE_STRICT_URL, SUPABASE_HS256_URL, SUPABASE_KEY, SUPABASE_SECRET } = process.env
const password = 'correct horse'

function opened(url = SUPABASE_URL, key = SUPABASE_KEY) {
  const kept = new Map()
  const storage = {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => void kept.set(name, value),
    removeItem: (name) => void kept.delete(name),
  }
  return createClient(url, key, {
    auth: { autoRefreshToken: false, persistSession: true, detectSessionInUrl: false, flowType: 'pkce', storage },
  })
}

const address = () => `${randomUUID()}@example.com`

async function must(answer) {
  const { data, error } = await answer
  assert.equal(error, null, error?.message)
  return data
}

async function refused(answer, code) {
  const { error } = await answer
  assert.equal(error?.code, code)
  return error
}

async function signedUp(client, email = address()) {
  const { session } = await must(client.auth.signUp({ email, password }))
  assert.ok(session)
  return session
}

async function mailTo(email, url = SUPABASE_URL) {
  const { mails } = await (await fetch(`${url}/dev/mails?to=${encodeURIComponent(email)}`)).json()
  return mails[0]
}

const location = async (url, options = {}) =>
  (await fetch(url, { redirect: 'manual', ...options })).headers.get('location')

test('signs up, in and out', async () => {
  const client = opened()
  const email = address()
  const { user } = await must(client.auth.signUp({ email, password, options: { data: { name: 'Ann' } } }))
  assert.equal(user.user_metadata.name, 'Ann')
  await must(client.auth.signOut({ scope: 'local' }).then((answer) => ({ data: null, ...answer })))
  await refused(client.auth.signInWithPassword({ email, password: 'wrong horse' }), 'invalid_credentials')
  await must(client.auth.signInWithPassword({ email, password }))
  assert.equal((await must(client.auth.getUser())).user.id, user.id)
  await refused(client.auth.signUp({ email, password }), 'user_already_exists')
  await refused(client.auth.signUp({ email: address(), password: 'short' }), 'weak_password')
})

for (const [name, url, algorithm] of [
  ['a published key', SUPABASE_URL, 'ES256'],
  ['the shared secret', SUPABASE_HS256_URL, 'HS256'],
]) {
  test(`proves claims signed with ${name}`, async () => {
    const client = opened(url)
    const session = await signedUp(client)
    const { claims, header } = await must(client.auth.getClaims())
    assert.equal(header.alg, algorithm)
    assert.equal(claims.sub, session.user.id)
    assert.equal(claims.aud, 'authenticated')
    assert.equal(claims.iss, `${url}/auth/v1`)
  })
}

test('proves claims after the keys rotated', async () => {
  const client = opened(SUPABASE_STRICT_URL)
  await signedUp(client)
  await must(client.auth.getClaims())
  const rotated = await fetch(`${SUPABASE_STRICT_URL}/dev/keys/rotate`, { method: 'POST', body: '{"alg":"RS256"}' })
  const { kid } = await rotated.json()
  await must(client.auth.refreshSession())
  const { header } = await must(client.auth.getClaims())
  assert.deepEqual([header.kid, header.alg], [kid, 'RS256'])
})

test('rotates refresh tokens and kills the family of a stolen one', async () => {
  const client = opened(SUPABASE_STRICT_URL)
  const first = await signedUp(client)
  const { session: second } = await must(client.auth.refreshSession(first))
  assert.notEqual(second.refresh_token, first.refresh_token)
  const { session: again } = await must(client.auth.refreshSession(first))
  assert.equal(again.refresh_token, second.refresh_token)
  const { session: third } = await must(client.auth.refreshSession(second))
  await refused(client.auth.refreshSession(first), 'refresh_token_already_used')
  await refused(client.auth.refreshSession(third), 'refresh_token_not_found')
  const { error } = await client.auth.getUser(third.access_token)
  assert.equal(error.name, 'AuthSessionMissingError')
})

test('signs in with a code by mail, and with its link', async () => {
  const client = opened()
  const email = address()
  await must(client.auth.signInWithOtp({ email }))
  await must(client.auth.verifyOtp({ email, token: (await mailTo(email)).token, type: 'email' }))
  await must(client.auth.signInWithOtp({ email, options: { emailRedirectTo: 'http://127.0.0.1:8000/in' } }))
  const back = new URL(await location((await mailTo(email)).link))
  const code = back.searchParams.get('code')
  await refused(opened().auth.exchangeCodeForSession(code), 'pkce_code_verifier_not_found')
  assert.ok((await must(client.auth.exchangeCodeForSession(code))).session)
  await refused(client.auth.exchangeCodeForSession(code), 'pkce_code_verifier_not_found')
})

test('recovers a forgotten password', async () => {
  const client = opened()
  const email = address()
  await signedUp(client, email)
  await must(client.auth.resetPasswordForEmail(email, { redirectTo: 'http://127.0.0.1:8000/reset' }))
  const back = new URL(await location((await mailTo(email)).link))
  await must(client.auth.exchangeCodeForSession(back.searchParams.get('code')))
  await must(client.auth.updateUser({ password: 'another horse' }))
  await refused(opened().auth.signInWithPassword({ email, password }), 'invalid_credentials')
  await must(opened().auth.signInWithPassword({ email, password: 'another horse' }))
})

test('signs in by another account', async () => {
  const client = opened()
  const email = address()
  const { url } = await must(
    client.auth.signInWithOAuth({ provider: 'github', options: { redirectTo: 'http://127.0.0.1:7777/back' } }),
  )
  const page = await location(url)
  const body = new URLSearchParams({ state: new URL(page).searchParams.get('state'), email, action: 'allow' })
  const back = new URL(await location(await location(page, { method: 'POST', body })))
  const { user } = await must(client.auth.exchangeCodeForSession(back.searchParams.get('code')))
  assert.equal(user.email, email)
  await refused(
    fetch(`${SUPABASE_URL}/auth/v1/authorize?provider=unheard-of`).then(async (answer) => ({
      error: { code: (await answer.json()).error_code },
    })),
    'validation_failed',
  )
})

test('signs out as far as it says', async () => {
  for (const [scope, mine, theirs] of [
    ['local', false, true],
    ['others', true, false],
    ['global', false, false],
  ]) {
    const [one, other, watcher, email] = [opened(), opened(), opened(), address()]
    const first = await signedUp(one, email)
    const { session: second } = await must(other.auth.signInWithPassword({ email, password }))
    assert.equal((await one.auth.signOut({ scope })).error, null)
    for (const [alive, session] of [[mine, first], [theirs, second]]) {
      const { error } = await watcher.auth.getUser(session.access_token)
      assert.equal(error === null, alive)
    }
  }
})

test('administers with the secret key only', async () => {
  const admin = opened(SUPABASE_URL, SUPABASE_SECRET)
  const client = opened()
  const session = await signedUp(client)
  assert.ok((await client.auth.admin.deleteUser(session.user.id)).error)
  await must(admin.auth.admin.getUserById(session.user.id))
  await must(admin.auth.admin.deleteUser(session.user.id))
  await refused(client.auth.getUser(session.access_token), 'user_not_found')
})

test('lets a program in with consent, lists it and shuts it out', async () => {
  const client = opened()
  const session = await signedUp(client)
  const metadata = await (await fetch(`${SUPABASE_URL}/.well-known/oauth-authorization-server/auth/v1`)).json()
  const registered = await fetch(metadata.registration_endpoint, {
    method: 'POST',
    body: JSON.stringify({
      client_name: 'Program', redirect_uris: ['http://127.0.0.1:6666/cb'], token_endpoint_auth_method: 'none',
    }),
  })
  assert.equal(registered.status, 201)
  const { client_id } = await registered.json()
  const verifier = randomBytes(32).toString('base64url')
  const asking = () =>
    location(`${metadata.authorization_endpoint}?${new URLSearchParams({
      client_id, redirect_uri: 'http://127.0.0.1:6666/cb', response_type: 'code', state: 'xyz', scope: 'email',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    })}`)
  const authorizationId = new URL(await asking()).searchParams.get('authorization_id')
  const details = await must(client.auth.oauth.getAuthorizationDetails(authorizationId))
  assert.equal(details.client.name, 'Program')
  const stranger = opened()
  await signedUp(stranger)
  await refused(stranger.auth.oauth.approveAuthorization(authorizationId), 'oauth_authorization_not_found')
  const { redirect_url } = await must(
    client.auth.oauth.approveAuthorization(authorizationId, { skipBrowserRedirect: true }),
  )
  const back = new URL(redirect_url)
  assert.equal(back.searchParams.get('state'), 'xyz')
  const exchange = (verified) =>
    fetch(metadata.token_endpoint, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'authorization_code', client_id, code: back.searchParams.get('code'),
        redirect_uri: 'http://127.0.0.1:6666/cb', code_verifier: verified,
      }),
    })
  const tokens = await (await exchange(verifier)).json()
  assert.equal((await (await exchange(verifier)).json()).error, 'invalid_grant')
  const { claims } = await must(client.auth.getClaims(tokens.access_token))
  assert.deepEqual([claims.client_id, claims.sub], [client_id, session.user.id])
  const again = new URL(await asking()).searchParams.get('authorization_id')
  assert.ok((await must(client.auth.oauth.getAuthorizationDetails(again))).redirect_url, 'consent is remembered')
  const refused_id = new URL(await asking()).searchParams.get('authorization_id')
  assert.deepEqual((await must(client.auth.oauth.listGrants())).map((grant) => grant.client.id), [client_id])
  assert.equal((await client.auth.oauth.revokeGrant({ clientId: client_id })).error, null)
  assert.deepEqual(await must(client.auth.oauth.listGrants()), [])
  assert.equal((await opened().auth.getUser(tokens.access_token)).error.name, 'AuthSessionMissingError')
  await must(client.auth.oauth.getAuthorizationDetails(refused_id))
  const denied = await must(client.auth.oauth.denyAuthorization(refused_id, { skipBrowserRedirect: true }))
  assert.equal(new URL(denied.redirect_url).searchParams.get('error'), 'access_denied')
})
