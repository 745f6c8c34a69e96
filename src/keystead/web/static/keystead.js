// Comforts only: every page works without this file.

// A second click on a button must not send a form twice; the second answer would hide the first.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (event.submitter?.formMethod === "dialog") return; // sends nothing
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
  // The back button may bring the page back as it was left.
  addEventListener("pageshow", () => delete form.dataset.sent);
}

for (const button of document.querySelectorAll("[data-reveal]")) {
  const field = document.getElementById(button.dataset.reveal);
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = field.type === "password";
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  });
  // Hidden again before it is sent, so that browsers do not remember it as ordinary text.
  field.form.addEventListener("submit", () => { field.type = "password"; });
}
