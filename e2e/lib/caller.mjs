// What people do at the page of calls.

/** Fills in the card and joins; a name of the call that is left out stays as it is proposed. */
export async function joins(person, { room, camera = false, button = 'Join the call' } = {}) {
  await person.button(button).waitFor();
  if (room) await person.page.getByLabel('Name of the call').fill(room);
  await person.page.getByLabel('Your name').fill(person.name);
  if (camera) await person.page.getByRole('radio', { name: /camera and screen/ }).check();
  await person.button(button).click();
}

/** Opens the page of calls and joins the one of a name. */
export async function calls(person, room, options = {}) {
  await person.page.goto('/call');
  await joins(person, { room, ...options });
  await seesInCall(person, person.name);
}

/** Those who are in the call, as the page shows them. */
export const inCall = (person) => person.page.getByRole('list', { name: 'In the call' });

export const seesInCall = (person, name) => inCall(person).getByRole('listitem').filter({ hasText: name }).waitFor();

export const seesNobodyCalled = (person, name) => inCall(person).getByRole('listitem').filter({ hasText: name }).waitFor({ state: 'detached' });
