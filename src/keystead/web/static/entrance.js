// What only works with a script is there only with one.
for (const each of document.querySelectorAll("[data-needs-script]")) each.hidden = !window.PublicKeyCredential;
