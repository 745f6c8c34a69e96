// Comforts of the settings pages: every page works without this file.

// The exact moment in the reader's own time zone, above the one in UTC.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "long" });
for (const time of document.querySelectorAll("time[data-moment]")) {
  time.title = `${local.format(new Date(time.dateTime))}\n${time.title}`;
}

// Without HTTPS there is no clipboard to write to; then the text is marked and copied the old way.
async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent.trim());
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const status = document.createElement("span");
  const text = button.firstChild;
  const label = text.data;
  let timer;
  status.className = "unseen";
  status.setAttribute("role", "status");
  button.after(status);
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copy(document.getElementById(button.dataset.copy));
    text.data = done ? "Copied" : "Marked, now press Ctrl+C";
    status.textContent = done ? "Copied." : "The text is marked. Copy it with the keyboard.";
    clearTimeout(timer);
    timer = setTimeout(() => {
      text.data = label;
      status.textContent = "";
    }, 4000);
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// What is shown once stays until its own button is pressed: no key and no stray click closes it.
for (const dialog of document.querySelectorAll("dialog[data-keep-open]")) {
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.addEventListener("close", () => dialog.showModal());
  dialog.removeAttribute("open");
  dialog.showModal();
  dialog.querySelector("h2").focus();
}
