//! The cloud image of a template: downloaded and checked by Proxmox, kept under a name that holds its digest, and removed again.
use super::Template;
use crate::proxmox::{
    call::{Call, Write},
    client::Client,
    guest::finish,
    inventory,
};
use kthw_engine::{Intent, Limit, Peers, Permit, Recovery, Result};
use serde::Deserialize;

/// How long Proxmox may take to download the image.
const DOWNLOAD: Limit = Limit::minutes(60);

impl Template {
    /// What the image is called on its storage. The digest is part of it: a file of the same name with other contents is another file, and
    /// Proxmox checks a digest only while it downloads.
    pub(super) fn stored_file(&self) -> String {
        let (file, sha256) = (&self.spec.file, self.pin());
        let (stem, extension) = file.rsplit_once('.').unwrap_or((file, "raw"));
        format!("{stem}-{sha256}.{extension}")
    }

    pub(super) fn volume(&self) -> String {
        format!("{}:import/{}", self.spec.images, self.stored_file())
    }

    pub(super) fn download_call(&self) -> Call<Write> {
        Call::post(["nodes", &self.spec.node, "storage", &self.spec.images, "download-url"])
            .with("content", "import")
            .with("filename", self.stored_file())
            .with("url", &self.spec.image_url)
            .with("checksum", self.pin())
            .with("checksum-algorithm", "sha256")
    }

    async fn has_image(&self, client: &Client) -> Result<bool> {
        #[derive(Deserialize)]
        struct Volume {
            volid: String,
        }
        let call = Call::get(["nodes", &self.spec.node, "storage", &self.spec.images, "content"]).with("content", "import");
        let there: Vec<Volume> = client.get(&call).await?;
        Ok(there.iter().any(|volume| volume.volid == self.volume()))
    }

    /// Removes the image that the template was imported from, unless another workspace's template may have come from it too.
    pub(super) async fn remove_image(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        let others = inventory::all(client).await?.values().any(|entry| entry.vmid != self.spec.vmid && entry.is_template_of_kthw());
        if others || !self.has_image(client).await? {
            return Ok(());
        }
        let call = Call::delete(["nodes", &self.spec.node, "storage", &self.spec.images, "content", &self.volume()]);
        let what = format!("the removal of {}", self.volume());
        let work = async |effect: &_| finish(client.write(&call, effect).await?, client, peers, &what).await;
        permit.effect(Intent::on("proxmox", &what, Recovery::Task), work).await
    }

    pub(super) async fn fetch_image(&self, client: &Client, peers: &Peers, permit: &Permit) -> Result<()> {
        if self.has_image(client).await? {
            return Ok(());
        }
        let what = format!("the download of {} to {}", self.stored_file(), self.spec.images);
        let work = async |effect: &_| match client.write(&self.download_call(), effect).await? {
            Some(task) => task.wait(client, peers, DOWNLOAD, &what).await,
            None => Ok(()),
        };
        permit.effect(Intent::on("proxmox", &what, Recovery::Task), work).await
    }
}
